// What a reader sees of an HTML file.
//
// Tags are written anew, without attributes and what loads or runs. Of that the browser's own parser, which knows how
// elements end and what `&eacute` means, makes a document to read.

// What has no tags inside, what is not read although it has, what changes how the rest is parsed, and what needs no end.
// A line begins with each `BLOCK`, an empty line stands around what is `APART`.
const RAW = /^(iframe|noembed|noframes|noscript|script|style|textarea|title|xmp)$/;
const UNREAD = /^(audio|canvas|datalist|math|object|svg|template|video)$/;
const DROPPED = /^(body|frame|frameset|head|html|plaintext)$/;
const UNENDED = /^(br|caption|col(group)?|d[dt]|hr|img|input|li|link|meta|option|p|source|t[dhr]|t(body|foot|head)|wbr)$/;
const BLOCK =
  /^(address|article|aside|caption|center|d[dlt]|details|dialog|div|fieldset|fig(caption|ure)|footer|form|header|hr|legend|li|main|nav|option|section|summary|tr)$/;
const APART = /^(blockquote|h[1-6]|listing|menu|ol|p|pre|table|ul)$/;
// Parsers take longer for each element, the deeper it stands.
const DEEPEST = 400;
// What was apart stays apart, `&am<!-- -->p;` for one.
const NOTHING = "<!---->";

const ATTRIBUTE = /[\s/]*([^\s/>][^\s/>=]*)(?:\s*=\s*(?:"([^"]*)"?|'([^']*)'?|([^\s>]*)))?/y;
const NOT_DISPLAYED = /(^|;)\s*display\s*:\s*none\s*(!|;|$)/i;

/** Write HTML anew, with `hidden` as the only attribute. */
function cleaned(html) {
  const after = (mark, from) => {
    mark.lastIndex = from;
    return mark.exec(html) ? mark.lastIndex : html.length;
  };
  const closesAtOnce = /^\s*<\?xml/.test(html);
  const tag = /<!--|<[!?]|<\/(?![a-z])|<(\/?)([a-z][^\s/>]*)/gi;
  const written = [];
  let depth = 0;
  for (let at = 0; at < html.length; ) {
    tag.lastIndex = at;
    const found = tag.exec(html);
    written.push(html.slice(at, found?.index).replaceAll("<", "&lt;"));
    if (!found) break;
    const [whole, closing, spelt] = found;
    if (!spelt) {
      written.push(NOTHING);
      at = whole === "<!--" ? after(/--!?>/g, tag.lastIndex - 2) : after(/>/g, tag.lastIndex);
      continue;
    }
    const name = spelt.toLowerCase();
    let hidden = false;
    ATTRIBUTE.lastIndex = at = tag.lastIndex;
    for (let one; (one = ATTRIBUTE.exec(html)); at = ATTRIBUTE.lastIndex) {
      const value = one[2] ?? one[3] ?? one[4] ?? "";
      hidden ||= /^hidden$/i.test(one[1]) || (/^style$/i.test(one[1]) && NOT_DISPLAYED.test(value));
    }
    at = after(/>/g, at);
    const ended = (closesAtOnce || /^(math|svg)$/.test(name)) && html.endsWith("/>", at);
    if (RAW.test(name) && !closing && !ended) {
      const end = new RegExp(`</${name}[\\s/>]`, "gi");
      end.lastIndex = at;
      at = end.exec(html)?.index ?? html.length;
    }
    const nests = !ended && !UNENDED.test(name);
    const isTooDeep = nests && depth + !closing > DEEPEST;
    if (nests) depth = Math.max(0, depth + (closing ? -1 : 1));
    const own = UNREAD.test(name) ? "template" : name;
    if (isTooDeep && (BLOCK.test(name) || APART.test(name))) written.push("<hr>");
    else if (isTooDeep || RAW.test(name) || DROPPED.test(name) || !/^[a-z][a-z\d-]*$/.test(name)) written.push(NOTHING);
    else if (closing) written.push(`</${own}>`);
    else written.push(`<${own}${hidden ? " hidden" : ""}>`, ended && !UNENDED.test(name) ? `</${own}>` : "");
  }
  return written.join("");
}

// The page's policy lets nobody else parse HTML.
const policy = globalThis.trustedTypes?.createPolicy("read-html", { createHTML: cleaned }) ?? { createHTML: cleaned };

/** Return what a reader sees of HTML: a line for each block, a tab between the cells of a row. */
export function textOfHtml(html) {
  const pieces = [];
  let [lines, breaks, tabs, gap, cellBegins] = [0, 0, 0, "", false];
  const apart = (number) => {
    if (!cellBegins) lines = Math.max(lines, number);
  };
  const say = (text, verbatim) => {
    const told = verbatim ? text : text.replace(/[ \t\n\f]+/g, " ");
    const after = told.endsWith(verbatim ? "\n" : " ") ? told.at(-1) : "";
    if (!verbatim && told.startsWith(" ")) gap ||= " ";
    const seen = told.slice(verbatim || told[0] !== " " ? 0 : 1, told.length - after.length);
    if (!seen) {
      if (verbatim) gap += after;
      return;
    }
    const between = Math.max(lines, breaks);
    pieces.push("\n".repeat(between), "\t".repeat(tabs), between || tabs ? "" : gap, seen);
    [lines, breaks, tabs, gap, cellBegins] = [0, 0, 0, after, false];
  };
  const read = (node, verbatim) => {
    for (const child of node.childNodes) {
      const name = child.localName;
      if (child.nodeType === Node.TEXT_NODE) say(child.data, verbatim);
      else if (!name || child.hasAttribute("hidden")) continue;
      else if (name === "br") breaks += cellBegins ? 0 : 1;
      else if (/^t[dh]$/.test(name)) {
        const before = pieces.length;
        cellBegins = true;
        read(child, verbatim);
        cellBegins = false;
        if (pieces.length > before) lines = breaks = 0;
        tabs += 1;
      } else {
        const number = APART.test(name) ? 2 : Number(BLOCK.test(name));
        apart(number);
        read(child, verbatim || /^(pre|listing)$/.test(name));
        apart(number);
        if (name === "tr") tabs = 0;
      }
    }
  };
  read(new DOMParser().parseFromString(policy.createHTML(html), "text/html").body, false);
  return pieces.join("").trim();
}
