// Tasks about one document: a question, its labels, its entities.
//
// A task has `fields` and `options` (made anew for each use), `body` for a request, and `read`, which makes of an answer
// what is shown: findings and windows with positions in UTF-16 units. `registry.js` adds what follows from its `id`.

import { choiceField, numberField, switchField, textField } from "../forms.js";
import { unitsOf } from "../positions.js";
import { format, said, tasks as words } from "../texts.js";

const stride = (own) => numberField(own.window_stride, { min: 0, max: 1_000_000 });

function readWindows(answer, units) {
	return (answer.windows ?? []).map((window) => ({
		start: units(window.start),
		end: units(window.end),
		taken: window.taken_start === undefined ? null : [units(window.taken_start), units(window.taken_end)],
		told: window,
	}));
}

function finding(found, text, units, looks) {
	const [start, end] = [units(found.start), units(found.end)];
	return {
		start,
		end,
		text: text.slice(start, end),
		empty: start === end,
		at: [found.start, found.end],
		score: found.score,
		scored: format.percent(found.score),
		...looks,
	};
}

export const questionAnswering = {
	id: "qa",
	usesDocument: true,
	asksQuestion: true,
	fields: () => ({ question: textField(words.qa.question, { placeholder: words.qa.questionHint }) }),
	options: () => ({
		no_answer: switchField(words.qa.no_answer),
		top_k: numberField(words.qa.top_k, { value: 5, min: 1, max: 100, leaveOut: null }),
		max_answer_tokens: numberField(words.qa.max_answer_tokens, { value: 30, min: 1, max: 4096 }),
		window_stride: stride(words.qa),
	}),
	body: (values, text) => ({ ...values, context: text, windows: true }),
	read(answer, text) {
		const units = unitsOf(text);
		const windows = readWindows(answer, units);
		const findings = answer.alternatives.map((found, rank) => {
			const from = windows.findIndex((window) => window.told.answers.includes(rank));
			return finding(found, text, units, {
				rank,
				kind: rank === 0 ? "answer" : "alternative",
				label: said.alternative(rank + 1),
				tag: rank === 0 ? format.percent(found.score) : String(rank + 1),
				window: from < 0 ? null : from,
			});
		});
		return {
			kind: "answers",
			findings,
			windows,
			answered: windows.map((window) => window.told.answers.length),
			type: answer.answer_type,
			summary: findings[0].empty ? said.noAnswer : said.answer(findings[0]),
		};
	},
};

export const classification = {
	id: "classify",
	usesDocument: true,
	options: () => ({
		text_pair: textField(words.classify.text_pair, { required: false }),
		window_stride: stride(words.classify),
	}),
	body: (values, text) => ({ text, ...values, windows: true }),
	read(answer, text) {
		const windows = readWindows(answer, unitsOf(text));
		const tokens = windows.reduce((sum, window) => sum + window.told.tokens, 0);
		const scored = scoring(answer.labels);
		return {
			kind: "labels",
			findings: [],
			windows,
			labels: answer.labels.map(({ label, score }) => ({ label, score, scored: scored(score) })),
			shares: windows.map(({ told }) => ({
				share: told.tokens / tokens,
				labels: told.labels.map(({ label, score }) => ({ label, score, scored: scored(score) })),
			})),
			summary: answer.label === null ? said.noLabel : said.label(answer.label, scored(answer.score)),
		};
	},
};

/** Raw values of regression models are not probabilities. */
function scoring(labels) {
	return labels.every(({ score }) => score >= 0 && score <= 1) ? format.percent : format.number;
}

const KINDS = 8;
const seen = [];

/** Return the look of a label, which it keeps from one document to the next. */
function kindOf(label) {
	if (!seen.includes(label)) seen.push(label);
	return `entity-${seen.indexOf(label) % KINDS}`;
}

export const entities = {
	id: "ner",
	usesDocument: true,
	options: () => ({
		aggregation: choiceField(words.ner.aggregation, ["simple", "first", "average", "max", "none"], words.embed.own),
		window_stride: stride(words.ner),
	}),
	body: (values, text) => ({ text, ...values, windows: true }),
	read(answer, text) {
		const units = unitsOf(text);
		answer.entities.map(({ entity }) => entity).sort().forEach(kindOf);
		const windows = readWindows(answer, units);
		const findings = answer.entities.map((found) =>
			finding(found, text, units, {
				kind: kindOf(found.entity),
				label: found.entity,
				tag: found.entity,
				window: null,
			}),
		);
		for (const found of findings) {
			const from = windows.findIndex(({ taken }) => taken && taken[0] <= found.start && found.start < taken[1]);
			found.window = from < 0 ? null : from;
		}
		return {
			kind: "entities",
			findings,
			windows,
			answered: windows.map((_, number) => findings.filter((found) => found.window === number).length),
			summary: said.entities(findings.length, findings.length),
		};
	},
};
