// How a text is cut for drawing: into blocks, laid out one by one, and parts of these, marked at once.
//
// A block is whole lines. Only of a line that is longer than a block there are several; where it is cut, it always wraps.
// No cut goes through a character as readers see it, nor through a finding, unless those are longer than a part.

const PART = 1200;
const BLOCK = 16_000;
const GRAPHEMES = new Intl.Segmenter("en", { granularity: "grapheme" });

/** Return `[{ start, end, continues, cuts }]`, in UTF-16 units: together they are the text; parts end at `cuts`. */
export function blocksOf(text, findings = []) {
	const wholes = wholesOf(findings);
	const pastWhole = (at) => Math.max(at, wholes[lastOf(wholes, ({ start }) => start < at)]?.end ?? 0);
	// The last cut is no further away than a block, however long a row of flags is.
	const pastGrapheme = (at, last) => {
		const found = GRAPHEMES.segment(text.slice(last, at + PART)).containing(at - last);
		return !found || last + found.index === at ? at : last + found.index + found.segment.length;
	};
	const cutNear = (at, last) => {
		let cut = at - (text.slice(at - PART / 2, at).match(/[^ ]*$/)[0].length % (PART / 2));
		for (let before; before !== cut && cut < at + PART; cut = pastGrapheme(pastWhole(cut), last)) before = cut;
		return cut;
	};
	let known = 0;
	const lineEnd = (at) => {
		if (known < at) known = text.indexOf("\n", at - 1) + 1 || text.length;
		return known;
	};

	const blocks = [];
	for (let start = 0; start < text.length; ) {
		const continues = start > 0 && text[start - 1] !== "\n";
		let end = lineEnd(Math.min(text.length, start + (continues ? 1 : PART)));
		for (let past = pastWhole(end); past > end; past = pastWhole(end)) end = lineEnd(past);
		if (end - start > BLOCK) {
			const before = text.slice(start, start + PART).lastIndexOf("\n") + 1;
			end = before && !continues ? start + before : Math.min(end, cutNear(start + BLOCK, start));
		}
		const cuts = [];
		for (let at = start; at < end; cuts.push(at)) at = end - at > 1.5 * PART ? Math.min(end, cutNear(at + PART, at)) : end;
		blocks.push({ start, end, continues, cuts });
		start = end;
	}
	return blocks;
}

/** Return the place of the last item that passes; none passes after one that does not. */
export function lastOf(items, holds) {
	let [low, high] = [0, items.length];
	while (low < high) {
		const middle = (low + high) >> 1;
		if (holds(items[middle])) low = middle + 1;
		else high = middle;
	}
	return low - 1;
}

/** Return what is not to be cut: findings, joined where they overlap. */
function wholesOf(findings) {
	const wholes = [];
	const short = findings.filter(({ start, end }) => end - start <= PART);
	for (const { start, end } of short.sort((one, other) => one.start - other.start)) {
		const last = wholes.at(-1);
		if (last && start < last.end) last.end = Math.max(last.end, end);
		else wholes.push({ start, end });
	}
	return wholes.filter(({ start, end }) => end - start <= PART);
}
