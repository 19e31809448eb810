// Tasks about several short texts: how alike they are, which answers a query, which goes on.

import { choiceField, passagesField, textField } from "../forms.js";
import { format, tasks as words } from "../texts.js";

export const similarity = {
	id: "embed",
	fields: () => ({ text: passagesField(words.embed, { values: words.embed.example }) }),
	options: () => ({ pooling: choiceField(words.embed.pooling, ["mean", "cls", "pooler"], words.embed.own) }),
	read(answer, _, body) {
		const vectors = answer.results.map(({ embedding }) => embedding);
		const cosines = vectors.map((one) => vectors.map((other) => cosine(one, other)));
		const summary = cosines[0].slice(1).map((value, place) => `1 – ${place + 2}: ${format.number(value)}`).join(", ");
		return { kind: "matrix", caption: words.embed.caption, texts: body.text, values: cosines, name: words.embed.passage, summary };
	},
	usages: (answer) => answer.results.map(({ usage }) => usage),
};

function cosine(one, other) {
	let [product, length, otherLength] = [0, 0, 0];
	for (let place = 0; place < one.length; place++) {
		product += one[place] * other[place];
		length += one[place] ** 2;
		otherLength += other[place] ** 2;
	}
	return product / (Math.sqrt(length * otherLength) || 1);
}

const ranked = (caption, rows) => ({ kind: "ranking", caption, rows, summary: `${rows[0].text}: ${rows[0].scored}` });
const row = (text, score) => ({ text, score, scored: score >= 0 && score <= 1 ? format.percent(score) : format.number(score) });

// A model with one label ranks by it; of several, somebody must say which means "relevant".
export const reranking = {
	id: "rerank",
	path: "/v1/rerank",
	models: (models) => models.filter((model) => model.task === "classify" && model.labels.length === 1),
	fields: () => ({
		query: textField(words.rerank.query, { value: words.rerank.exampleQuery, rows: 1 }),
		documents: passagesField(words.rerank, { values: words.rerank.example }),
	}),
	read: (answer, _, body) =>
		ranked(words.rerank.caption, answer.results.map((one) => row(body.documents[one.index], one.relevance_score))),
	usages: (answer) => [{ tokens: answer.usage.total_tokens, windows: answer.usage.windows }],
};

export const multipleChoice = {
	id: "multiple-choice",
	fields: () => ({
		prompt: textField(words["multiple-choice"].prompt, { value: words["multiple-choice"].examplePrompt }),
		choices: passagesField(words["multiple-choice"], { values: words["multiple-choice"].example }),
	}),
	read(answer, _, body) {
		const rows = answer.scores.map((score, place) => ({ ...row(body.choices[place], score), chosen: place === answer.index }));
		return ranked(words["multiple-choice"].caption, rows.sort((one, other) => other.chosen - one.chosen || other.score - one.score));
	},
};

export const nextSentence = {
	id: "next-sentence",
	fields: () => ({
		first: textField(words["next-sentence"].first, { value: words["next-sentence"].exampleFirst }),
		second: textField(words["next-sentence"].second, { value: words["next-sentence"].exampleSecond }),
	}),
	read: ({ scores }) =>
		ranked(
			words["next-sentence"].caption,
			[row(words["next-sentence"].follows, scores.is_next), row(words["next-sentence"].not, scores.not_next)].sort(
				(one, other) => other.score - one.score,
			),
		),
};
