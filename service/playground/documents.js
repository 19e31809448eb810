// Documents: the synthetic examples, files that are opened or dropped, and what is pasted.

import { read, readJson } from "./api.js";
import { said } from "./texts.js";

const MAX_BYTES = 8 * 1024 * 1024;
const FILES = new URL("./examples/", import.meta.url);

/** A document; `example` names the example that it is, or is null. */
export const typed = (text, name = said.files.typed) => ({ text, name, example: null });

/** Return the examples: their names, and what to ask about them. */
export async function listExamples() {
  return readJson(new URL("examples.json", FILES));
}

export async function openExample(example, name) {
  return { text: await read(new URL(`${example}.txt`, FILES)), name, example };
}

/** Return the text of a file; throws an Error with what to do if it holds none. */
export async function openFile(file) {
  if (file.size > MAX_BYTES) throw new Error(said.files.tooLarge(MAX_BYTES / 2 ** 20));
  let text;
  try {
    text = new TextDecoder("utf-8", { fatal: true }).decode(await file.arrayBuffer());
  } catch {
    throw new Error(said.files.notText);
  }
  if (text.includes("\0")) throw new Error(said.files.binary);
  const isHtml = file.type === "text/html" || /\.x?html?$/i.test(file.name);
  if (isHtml) text = textOfHtml(text);
  if (!text.trim()) throw new Error(said.files.empty);
  return typed(text, file.name);
}

// What a reader does not see, what begins a new line, and what has an empty line around it.
const UNREAD = /^(head|iframe|math|noscript|object|script|style|svg|template|title)$/i;
const BLOCK = /^(address|article|aside|br|d[dlt]|details|div|fig(caption|ure)|footer|form|header|hr|li|main|nav|section|summary|tr)$/i;
const APART = /^(blockquote|h[1-6]|ol|p|pre|table|ul)$/i;

const LOOKED_AT = 64;

/** Return what a reader sees of an HTML file, a line for each block. No element is ever made of it. */
export function textOfHtml(html) {
  // What was read is a long beginning, which nobody looks at again, and the end.
  let beginning = "";
  let read = "";
  let verbatim = 0;
  const lines = (number) => {
    read = read.replace(/ +$/, "");
    while (beginning + read && !read.endsWith("\n".repeat(number))) read += "\n";
    if (read.length > LOOKED_AT) {
      beginning += read.slice(0, -LOOKED_AT);
      read = read.slice(-LOOKED_AT);
    }
  };
  const say = (text) => {
    const said = verbatim ? text : text.replace(/[ \t\r\n\f]+/g, " ");
    read += verbatim || !/(^|\s)$/.test(read.slice(-1)) ? said : said.trimStart();
  };
  const tag = /<!--|<[!?]|<(\/?)([a-z][^\s/>]*)/gi;
  for (let at = 0; at < html.length; ) {
    tag.lastIndex = at;
    const found = tag.exec(html);
    say(decoded(html.slice(at, found?.index)));
    if (!found) break;
    const [whole, closing, name] = found;
    at = after(html, whole === "<!--" ? "-->" : ">", tag.lastIndex);
    if (!name) continue;
    if (!closing && UNREAD.test(name)) {
      const end = new RegExp(`</${name}[\\s>]${/^head$/i.test(name) ? "|<body" : ""}`, "gi");
      end.lastIndex = at;
      at = end.exec(html)?.index ?? html.length;
    }
    if (/^pre$/i.test(name)) verbatim = Math.max(0, verbatim + (closing ? -1 : 1));
    if (/^t[dh]$/i.test(name)) say(" ");
    else if (APART.test(name)) lines(2);
    else if (BLOCK.test(name)) lines(1);
  }
  return (beginning + read).trim();
}

function after(text, mark, from) {
  const found = text.indexOf(mark, from);
  return found < 0 ? text.length : found + mark.length;
}

// The page's policy lets nobody else parse HTML; this has no tag in it, only references such as `&eacute;`.
const policy = globalThis.trustedTypes?.createPolicy("read-html", { createHTML: (text) => text.replaceAll("<", "&lt;") });

function decoded(text) {
  if (!text.includes("&")) return text;
  const html = policy ? policy.createHTML(text) : text.replaceAll("<", "&lt;");
  return new DOMParser().parseFromString(html, "text/html").documentElement.textContent;
}
