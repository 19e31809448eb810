// Documents: the synthetic examples, files that are opened or dropped, and what is pasted.

import { read, readJson } from "./api.js";
import { textOfHtml } from "./html.js";
import { said } from "./texts.js";

const MAX_BYTES = 8 * 1024 * 1024;
const FILES = new URL("./examples/", import.meta.url);

/** A document; `example` names the example that it is, or is null. */
export const typed = (text, name = said.files.typed) => ({ text, name, example: null });

export const listExamples = () => readJson(new URL("examples.json", FILES));

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
