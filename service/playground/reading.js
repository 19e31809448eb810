// The reading view: a document with marks, of which only what is near the window is drawn.
//
// The text stands in blocks, and each part of a block is one text node until it comes near. Then what was found in it
// becomes `<mark>` elements; where findings overlap, each piece tells all that hold it. So thousands of findings cost no
// more than the few that can be seen, and what is marked can be selected, found and read aloud like any text.

import { blocksOf, lastOf } from "./cutting.js";
import { element, prefersStill } from "./dom.js";

const LINE_CHARACTERS = 72;
const LAST_WORD = /(?<!\S)[^\s\p{M}]\S{0,23}$/u;

export class ReadingView {
	#root;
	#text = "";
	#blocks = [];
	#parts = [];
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
		root.addEventListener("keydown", (event) => {
			if (event.key.toLowerCase() !== "a" || !(event.ctrlKey || event.metaKey)) return;
			event.preventDefault();
			getSelection().selectAllChildren(root);
		});
		// Browsers would put a line break between blocks, and change some spaces.
		root.addEventListener("copy", (event) => {
			const selection = getSelection();
			const range = selection.rangeCount ? selection.getRangeAt(0) : null;
			if (!range || range.collapsed || !root.contains(range.commonAncestorContainer)) return;
			event.clipboardData.setData("text/plain", range.toString());
			event.preventDefault();
		});
	}

	show(text) {
		this.#observer.disconnect();
		this.#text = text;
		this.#blocks = [];
		this.#root.replaceChildren();
		this.#findings = [];
		this.#current = -1;
		this.#lay();
		this.#root.scrollTop = 0;
	}

	/** Cut the text anew, and keep what is cut as before. */
	#lay() {
		const known = new Map(this.#blocks.map((block) => [`${block.start} ${block.end}`, block]));
		let before;
		const blocks = blocksOf(this.#text, this.#findings).map((cut) => {
			const block = known.get(`${cut.start} ${cut.end}`) ?? this.#block(cut, before);
			if (String(block.cuts) !== String(cut.cuts)) this.#fill(block, cut.cuts);
			before = block;
			return block;
		});
		const kept = blocks.length === this.#blocks.length && blocks.every((block, number) => block === this.#blocks[number]);
		if (!kept) this.#root.replaceChildren(...blocks.map(({ node }) => node));
		this.#blocks = blocks;
		this.#parts = blocks.flatMap(({ parts }) => parts);
	}

	#block({ start, end, continues }, before) {
		// The rest of a line goes in the direction of its beginning.
		const dir = continues ? (before.node.matches(":dir(rtl)") ? "rtl" : "ltr") : "auto";
		const node = element("div", { class: continues ? "block continued" : "block", dir });
		const lines = this.#text.slice(start, end).split("\n");
		const rows = lines.reduce((sum, line) => sum + Math.ceil(line.length / LINE_CHARACTERS || 1), 0);
		node.style.containIntrinsicBlockSize = `auto ${rows * 1.7}em`;
		return { start, end, node, parts: [] };
	}

	#fill(block, cuts) {
		const before = block.parts;
		block.cuts = cuts;
		block.parts = cuts.map((end, number) => {
			const start = cuts[number - 1] ?? block.start;
			const text = this.#text.slice(start, end);
			const near = before.some((part) => part.near && part.start < end && part.end > start);
			return { start, end, text, findings: [], near, drawn: false, node: element("span", {}, text) };
		});
		for (const { node } of before) this.#observer.unobserve(node);
		for (const part of block.parts) {
			part.node.partOfText = part;
			this.#observer.observe(part.node);
		}
		block.node.replaceChildren(...block.parts.map(({ node }) => node));
	}

	/** Mark findings, each with `start` and `end` in UTF-16 units, in the order of the text, and a `tag` that is shown. */
	mark(findings) {
		this.#findings = findings;
		this.#isShown = () => true;
		this.#current = -1;
		this.#marking += 1;
		this.#lay();
		for (const part of this.#parts) part.findings = [];
		findings.forEach((finding, place) => {
			for (let at = this.#partAt(finding.start); at < this.#parts.length; at++) {
				if (at > 0 && this.#parts[at].start >= finding.end) break;
				this.#parts[at].findings.push(place);
			}
		});
		this.#redraw();
	}

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
		const part = this.#parts[this.#partAt(finding.start)];
		this.#draw(part);
		layOut(part);
		const mark = part.node.querySelector("mark.current") ?? part.node;
		const behavior = prefersStill() ? "instant" : "smooth";
		const distance = Math.abs(mark.getBoundingClientRect().top - this.#root.getBoundingClientRect().top);
		const near = distance < 3 * this.#root.clientHeight;
		// What is passed on the way must not be laid out for it.
		centre(this.#root, mark, near ? behavior : "instant");
	}

	/** Scroll to a place in the text, in UTF-16 units. */
	goTo(position) {
		const part = this.#parts[this.#partAt(position)];
		if (!part) return;
		layOut(part);
		const { top, height } = part.node.getBoundingClientRect();
		const share = (position - part.start) / Math.max(1, part.end - part.start);
		this.#root.scrollTop += top + share * height - this.#root.getBoundingClientRect().top - 24;
	}

	/** Return which part of the text is in sight, from and to, in UTF-16 units. */
	sight() {
		const top = this.#root.scrollTop;
		return [this.#positionAt(top), this.#positionAt(top + this.#root.clientHeight)];
	}

	#positionAt(y) {
		const block = this.#blocks[Math.max(0, lastOf(this.#blocks, ({ node }) => node.offsetTop <= y))];
		if (!block) return 0;
		const share = (y - block.node.offsetTop) / Math.max(1, block.node.offsetHeight);
		return block.start + Math.min(1, Math.max(0, share)) * (block.end - block.start);
	}

	#partAt(position) {
		return Math.max(0, lastOf(this.#parts, ({ start }) => start <= position));
	}

	#moved(entries) {
		for (const entry of entries) {
			const part = entry.target.partOfText;
			part.near = entry.isIntersecting;
			if (part.near && !part.drawn) this.#draw(part);
		}
	}

	#redraw() {
		for (const part of this.#parts) {
			if (part.near) this.#draw(part);
			else if (part.drawn) this.#undraw(part);
		}
	}

	#undraw(part) {
		part.drawn = false;
		if (part.node.childElementCount) part.node.replaceChildren(part.text);
	}

	#draw(part) {
		const visible = part.findings.filter((place) => this.#isMarked(place));
		const drawing = `${this.#marking}:${visible}:${part.findings.includes(this.#current) ? this.#current : ""}`;
		if (part.drawn === drawing) return;
		if (!visible.length) {
			this.#undraw(part);
			part.drawn = drawing;
			return;
		}
		const inside = visible.map((place) => {
			const { start, end } = this.#findings[place];
			return { place, start: Math.max(start, part.start) - part.start, end: Math.min(end, part.end) - part.start };
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
			open = open.filter(({ end }) => end > from);
			if (!open.length) continue;
			if (from > drawn) children.push(part.text.slice(drawn, from));
			children.push(this.#piece(part, from, to, open));
			drawn = to;
		}
		children.push(part.text.slice(drawn));
		part.node.replaceChildren(...children);
		part.drawn = drawing;
	}

	/** What overlaps the finding that is looked at would only be in its way; what else overlaps is marked. */
	#isMarked(place) {
		const [finding, current] = [this.#findings[place], this.#findings[this.#current]];
		if (place === this.#current) return true;
		if (!this.#isShown(finding)) return false;
		return !current || finding.end <= current.start || finding.start >= current.end;
	}

	/** Return the mark of a stretch that all of some findings hold; the best of them gives it its looks. */
	#piece(part, from, to, open) {
		const best = open.reduce((one, other) => (this.#rank(one.place) <= this.#rank(other.place) ? one : other));
		const finding = this.#findings[best.place];
		const current = open.some(({ place }) => place === this.#current);
		const mark = element("mark", {
			class: `kind-${finding.kind}${current ? " current" : ""}${open.length > 1 ? " overlap" : ""}`,
			data: { findings: [best.place, ...open.map(({ place }) => place).filter((place) => place !== best.place)].join(" ") },
		});
		const text = part.text.slice(from, to);
		const ends = open.map(({ place }) => this.#findings[place]).filter(({ end }) => end === part.start + to);
		const tag = ends.map((one) => one.tag).join(" · ");
		if (!tag) mark.append(text);
		else {
			const last = LAST_WORD.exec(text)?.index ?? text.length;
			mark.append(text.slice(0, last), element("span", { data: { tag }, text: text.slice(last) }));
			mark.dataset.tag = tag;
		}
		return mark;
	}

	#rank(place) {
		return place === this.#current ? -1 : (this.#findings[place].rank ?? 0);
	}
}

/** Give the block of a part its true height: that of what was never in sight is a guess. */
function layOut({ node }) {
	node.parentElement.style.contentVisibility = "visible";
}

/** Scroll a container, and nothing around it, so that an element stands in its middle. */
function centre(root, target, behavior) {
	const own = target.getBoundingClientRect();
	const frame = root.getBoundingClientRect();
	const middle = own.top - frame.top - (root.clientHeight - Math.min(own.height, root.clientHeight)) / 2;
	root.scrollTo({ top: root.scrollTop + middle, behavior });
}
