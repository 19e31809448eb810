// Take it along: the request as a program, the answer as a file, a link.

import { element } from "./dom.js";
import { apart, conll, labelStudio, spacy } from "./exports.js";
import { linkTo } from "./link.js";
import { snippets } from "./snippets.js";
import { said, take } from "./texts.js";

/**
 * Fill a node with what an exchange can be taken along as.
 *
 * An exchange has `task`, `path`, `body`, `answer`, `text` and `question`.
 */
export function fillTakeAlong(node, exchange, hasKey) {
	const address = new URL(exchange.path.replace(/^\//, ""), document.baseURI).href;
	const programs = snippets(address, exchange.body, hasKey);
	const output = element("pre", { tabIndex: 0, aria: { label: take.request } });
	const kinds = Object.keys(programs).map((kind) =>
		element("button", {
			text: take[kind],
			data: { kind },
			onclick: () => show(kind),
		}),
	);
	const told = element("p", { class: "hint", role: "status" });
	let copied;
	function show(kind) {
		copied = programs[kind];
		output.textContent = copied;
		for (const button of kinds) button.setAttribute("aria-pressed", String(button.dataset.kind === kind));
	}
	show("curl");
	node.replaceChildren(
		element("h3", { text: take.request }),
		element(
			"div",
			{ class: "line kinds" },
			kinds,
			element("button", { class: "quiet", text: take.copy, onclick: () => copy(copied, output, told, said.copied) }),
		),
		output,
		element("h3", { text: take.answer }),
		element(
			"div",
			{ class: "line kinds" },
			files(exchange).map(({ name, file, type, content }) =>
				element("button", { text: name, data: { file }, onclick: () => save(file, type, content()) }),
			),
			element("button", {
				class: "quiet",
				text: take.link,
				onclick: () => {
					const link = linkTo({ task: exchange.task.id, model: exchange.body.model, question: exchange.question });
					history.replaceState(null, "", link);
					copy(link, output, told, said.linkCopied);
				},
			}),
		),
		told,
		...overlapping(exchange),
	);
}

function overlapping({ task, answer }) {
	if (task.id !== "ner") return [];
	const left = answer.entities.length - apart(answer.entities).length;
	return left ? [element("p", { class: "hint", text: take.overlapping(left) })] : [];
}

const json = (value) => `${JSON.stringify(value, null, 2)}\n`;

function files({ task, answer, body, text }) {
	const own = [{ name: take.formats.json, file: "answer.json", type: "application/json", content: () => json(answer) }];
	if (task.id !== "ner") return own;
	const { entities, model } = answer;
	return [
		...own,
		{ name: take.formats.conll, file: "entities.conll", type: "text/plain", content: () => conll(text, entities, body.aggregation === "none") },
		{ name: take.formats.spacy, file: "entities.spacy.json", type: "application/json", content: () => json(spacy(text, entities)) },
		{
			name: take.formats.labelStudio,
			file: "entities.label-studio.json",
			type: "application/json",
			content: () => json(labelStudio(text, entities, model)),
		},
	];
}

function save(name, type, content) {
	const address = URL.createObjectURL(new Blob([content], { type }));
	const link = element("a", { href: address, download: name });
	document.body.append(link);
	link.click();
	link.remove();
	setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

async function copy(text, output, told, done) {
	try {
		await navigator.clipboard.writeText(text);
		told.textContent = done;
	} catch {
		// No clipboard without HTTPS on other hosts than this one.
		output.textContent = text;
		getSelection().selectAllChildren(output);
		told.textContent = said.copyFailed;
	}
}
