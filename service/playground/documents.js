// Documents: the synthetic examples, files that are opened or dropped, and what is pasted.

import { said } from "./texts.js";

const MAX_BYTES = 8 * 1024 * 1024;
const FILES = new URL("./examples/", import.meta.url);

/** A document; `example` names the example that it is, or is null. */
export const typed = (text, name = said.files.typed) => ({ text, name, example: null });

/** Return the examples: their names, and what to ask about them. */
export async function listExamples() {
  return (await fetch(new URL("examples.json", FILES))).json();
}

export async function openExample(example, name) {
  const response = await fetch(new URL(`${example}.txt`, FILES));
  return { text: await response.text(), name, example };
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
  return { text: isHtml ? textOfHtml(text) : text, name: file.name, example: null };
}

// `DOMParser` makes a document that runs no script and loads nothing; the page's policy lets nobody else parse HTML.
const policy = globalThis.trustedTypes?.createPolicy("read-html", { createHTML: (html) => html });
const UNREAD = "script,style,noscript,template,svg,math,iframe,object,head";
const BLOCKS = new Set(
  ("ADDRESS ARTICLE ASIDE BLOCKQUOTE DD DETAILS DIV DL DT FIGCAPTION FIGURE FOOTER FORM H1 H2 H3 H4 H5 H6 HEADER HR LI " +
    "MAIN NAV OL P PRE SECTION SUMMARY TABLE TR UL").split(" "),
);

/** Return what a reader sees of an HTML file, a line for each block. */
export function textOfHtml(html) {
  const parsed = new DOMParser().parseFromString(policy ? policy.createHTML(html) : html, "text/html");
  for (const unread of parsed.querySelectorAll(UNREAD)) unread.remove();
  const parts = [];
  const walk = document.createTreeWalker(parsed.body ?? parsed, NodeFilter.SHOW_ELEMENT | NodeFilter.SHOW_TEXT);
  // Where a block begins or ends, a line does.
  let within = [];
  for (let node = walk.nextNode(); node; node = walk.nextNode()) {
    const left = within.filter((block) => !block.contains(node));
    if (left.length) parts.push("\n");
    within = within.filter((block) => block.contains(node));
    if (node.nodeType === Node.TEXT_NODE) {
      parts.push(node.parentElement.closest("pre") ? node.data : node.data.replace(/[ \t\r\n\f]+/g, " "));
    } else if (node.tagName === "BR") {
      parts.push("\n");
    } else if (node.tagName === "TD" || node.tagName === "TH") {
      parts.push(" ");
    } else if (BLOCKS.has(node.tagName)) {
      parts.push(/^(P|H\d|UL|OL|TABLE|BLOCKQUOTE)$/.test(node.tagName) ? "\n\n" : "\n");
      within.push(node);
    }
  }
  return parts.join("").replace(/ *\n */g, "\n").replace(/\n{3,}/g, "\n\n").replace(/ {2,}/g, " ").trim();
}
