// The service counts Unicode code points, strings here UTF-16 units: a character beyond U+FFFF is two of those.

const BEYOND = /[\u{10000}-\u{10ffff}]/u;

/** Return what turns a position in code points into one in UTF-16 units of the same text. */
export function unitsOf(text) {
	if (!BEYOND.test(text)) return (position) => position;
	const starts = [];
	for (let unit = 0; unit < text.length; unit += text.codePointAt(unit) > 0xffff ? 2 : 1) starts.push(unit);
	starts.push(text.length);
	return (position) => starts[position];
}

export function codePoints(text) {
	let number = text.length;
	for (let unit = 0; unit < text.length - 1; unit++) if (text.codePointAt(unit) > 0xffff) number--;
	return number;
}
