// The reading view: a document with marks, of which only what is near the window is drawn.
//
// The text stands in blocks of whole lines, each one text node until it comes near. Then what was found in it becomes
// `<mark>` elements; where findings overlap, each piece tells all that hold it. So thousands of findings cost no more
// than the few that can be seen, and what is marked can be selected, found and read aloud like any text.

import { element, prefersStill } from "./dom.js";

const BLOCK_CHARACTERS = 1200;
const LINE_CHARACTERS = 72;

export class ReadingView {
  #root;
  #blocks = [];
  #findings = [];
  #isShown = () => true;
  #current = -1;
  #marking = 0;
  #observer;

  /** `onSelect(place)` is called with the finding whose mark is clicked. */
  constructor(root, onSelect) {
    this.#root = root;
    this.#observer = new IntersectionObserver((entries) => this.#moved(entries), { root, rootMargin: "300px 0px" });
    root.addEventListener("click", (event) => {
      const mark = event.target.closest?.("mark");
      if (mark && getSelection().isCollapsed) onSelect(Number(mark.dataset.findings.split(" ")[0]));
    });
  }

  /** Show another text, without marks. */
  show(text) {
    this.#observer.disconnect();
    this.#findings = [];
    this.#current = -1;
    this.#blocks = blocksOf(text).map(([start, end]) => ({
      start,
      end,
      text: text.slice(start, end),
      findings: [],
      near: false,
      drawn: false,
      node: element("div", { class: "block", dir: "auto" }, text.slice(start, end)),
    }));
    for (const block of this.#blocks) {
      block.node.block = block;
      const lines = block.text.split("\n").reduce((sum, line) => sum + Math.ceil(line.length / LINE_CHARACTERS || 1), 0);
      block.node.style.containIntrinsicBlockSize = `auto ${lines * 1.7}em`;
    }
    this.#root.replaceChildren(...this.#blocks.map((block) => block.node));
    this.#root.scrollTop = 0;
    for (const block of this.#blocks) this.#observer.observe(block.node);
  }

  /** Mark findings, each with `start` and `end` in UTF-16 units, in the order of the text, and a `tag` that is shown. */
  mark(findings, isShown = () => true) {
    this.#findings = findings;
    this.#isShown = isShown;
    this.#current = -1;
    this.#marking += 1;
    for (const block of this.#blocks) block.findings = [];
    findings.forEach((finding, place) => {
      for (let at = this.#blockAt(finding.start); at < this.#blocks.length; at++) {
        if (at > 0 && this.#blocks[at].start >= finding.end) break;
        this.#blocks[at].findings.push(place);
      }
    });
    this.#redraw();
  }

  /** Show those findings only for which this holds. */
  filter(isShown) {
    this.#isShown = isShown;
    this.#redraw();
  }

  /** Set one finding apart from the others, and scroll to it. */
  select(place) {
    this.#current = place;
    this.#redraw();
    const finding = this.#findings[place];
    if (!finding) return;
    const block = this.#blocks[this.#blockAt(finding.start)];
    this.#draw(block);
    const mark = block.node.querySelector("mark.current") ?? block.node;
    const behavior = prefersStill() ? "instant" : "smooth";
    const distance = Math.abs(mark.getBoundingClientRect().top - this.#root.getBoundingClientRect().top);
    const near = distance < 3 * this.#root.clientHeight;
    // What is passed on the way must not be laid out for it.
    centre(this.#root, mark, near ? behavior : "instant");
  }

  /** Scroll to a place in the text, in UTF-16 units. */
  goTo(position) {
    const block = this.#blocks[this.#blockAt(position)];
    if (!block) return;
    const share = (position - block.start) / Math.max(1, block.end - block.start);
    this.#root.scrollTop = block.node.offsetTop + share * block.node.offsetHeight - 24;
  }

  /** Return which part of the text is in sight, from and to, in UTF-16 units. */
  sight() {
    const top = this.#root.scrollTop;
    return [this.#positionAt(top), this.#positionAt(top + this.#root.clientHeight)];
  }

  #positionAt(y) {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#blocks[middle].node.offsetTop <= y) low = middle;
      else high = middle - 1;
    }
    const block = this.#blocks[low];
    if (!block) return 0;
    const share = (y - block.node.offsetTop) / Math.max(1, block.node.offsetHeight);
    return block.start + Math.min(1, Math.max(0, share)) * (block.end - block.start);
  }

  #blockAt(position) {
    let low = 0;
    let high = this.#blocks.length - 1;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.#blocks[middle].start <= position) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  #moved(entries) {
    for (const entry of entries) {
      const block = entry.target.block;
      block.near = entry.isIntersecting;
      if (block.near && !block.drawn) this.#draw(block);
    }
  }

  #redraw() {
    for (const block of this.#blocks) {
      if (block.near) this.#draw(block);
      else if (block.drawn) this.#undraw(block);
    }
  }

  #undraw(block) {
    block.drawn = false;
    if (block.node.childElementCount) block.node.replaceChildren(block.text);
  }

  #draw(block) {
    const visible = block.findings.filter((place) => this.#isMarked(place));
    const drawing = `${this.#marking}:${visible}:${block.findings.includes(this.#current) ? this.#current : ""}`;
    if (block.drawn === drawing) return;
    if (!visible.length) {
      this.#undraw(block);
      block.drawn = drawing;
      return;
    }
    const inside = visible.map((place) => {
      const { start, end } = this.#findings[place];
      return { place, start: Math.max(start, block.start) - block.start, end: Math.min(end, block.end) - block.start };
    });
    const edges = [...new Set(inside.flatMap(({ start, end }) => [start, end]))].sort((a, b) => a - b);
    const children = [];
    let drawn = 0;
    let open = [];
    let upcoming = 0;
    inside.sort((a, b) => a.start - b.start);
    for (let number = 0; number < edges.length - 1; number++) {
      const [from, to] = [edges[number], edges[number + 1]];
      while (upcoming < inside.length && inside[upcoming].start <= from) open.push(inside[upcoming++]);
      open = open.filter((part) => part.end > from);
      if (!open.length) continue;
      if (from > drawn) children.push(block.text.slice(drawn, from));
      children.push(this.#piece(block, from, to, open));
      drawn = to;
    }
    children.push(block.text.slice(drawn));
    block.node.replaceChildren(...children);
    block.drawn = drawing;
  }

  /** What overlaps the finding that is looked at would only be in its way; what else overlaps is marked. */
  #isMarked(place) {
    const [finding, current] = [this.#findings[place], this.#findings[this.#current]];
    if (place === this.#current) return true;
    if (!this.#isShown(finding)) return false;
    return !current || finding.end <= current.start || finding.start >= current.end;
  }

  /** Return the mark of a stretch that all of some findings hold; the best of them gives it its looks. */
  #piece(block, from, to, open) {
    const best = open.reduce((one, other) => (this.#rank(one.place) <= this.#rank(other.place) ? one : other));
    const finding = this.#findings[best.place];
    const current = open.some((part) => part.place === this.#current);
    const mark = element("mark", {
      class: `kind-${finding.kind}${current ? " current" : ""}${open.length > 1 ? " overlap" : ""}`,
      data: { findings: [best.place, ...open.map((part) => part.place).filter((place) => place !== best.place)].join(" ") },
      text: block.text.slice(from, to),
    });
    const ends = open.filter((part) => part.end === to && this.#findings[part.place].end === block.start + to);
    if (ends.length) mark.dataset.tag = ends.map((part) => this.#findings[part.place].tag).join(" · ");
    return mark;
  }

  #rank(place) {
    return place === this.#current ? -1 : (this.#findings[place].rank ?? 0);
  }
}

/** Scroll a container, and nothing around it, so that an element stands in its middle. */
function centre(root, target, behavior) {
  const own = target.getBoundingClientRect();
  const frame = root.getBoundingClientRect();
  const middle = own.top - frame.top - (root.clientHeight - Math.min(own.height, root.clientHeight)) / 2;
  root.scrollTo({ top: root.scrollTop + middle, behavior });
}

/** Cut a text into blocks of whole lines; together they are the text. */
function blocksOf(text) {
  const blocks = [];
  let start = 0;
  while (start < text.length) {
    const end = start + BLOCK_CHARACTERS < text.length ? text.indexOf("\n", start + BLOCK_CHARACTERS) + 1 : 0;
    blocks.push([start, end || text.length]);
    start = end || text.length;
  }
  return blocks;
}
