// What a language model predicts: words for masks, and how a text goes on.

import { choiceField, numberField, textField } from "../forms.js";
import { format, tasks as words } from "../texts.js";

export const maskFilling = {
	id: "fill-mask",
	fields: () => ({ text: textField(words["fill-mask"].text, { value: words["fill-mask"].example, rows: 4 }) }),
	options: () => ({ top_k: numberField(words["fill-mask"].top_k, { value: 5, min: 1, max: 1000 }) }),
	read(answer) {
		const total = answer.predictions.length;
		const rankings = answer.predictions.map((predictions, mask) => ({
			caption: words["fill-mask"].mask(mask + 1, total),
			rows: predictions.map(({ token, score, sequence }) => ({ text: token, score, scored: format.percent(score), context: sequence })),
		}));
		return { kind: "rankings", rankings, summary: rankings.map(({ rows }) => rows[0].text).join(", ") };
	},
};

export const generation = {
	id: "generate",
	fields: () => ({
		prompt: textField(words.generate.prompt, { value: words.generate.example, rows: 6 }),
		max_new_tokens: numberField(words.generate.max_new_tokens, { value: 16, min: 1, max: 4096, leaveOut: null }),
	}),
	options: () => ({ sampling: choiceField(words.generate.sampling, ["greedy", "top_p"]) }),
	read: (answer, _, body) => ({
		kind: "continuation",
		prompt: body.prompt,
		text: answer.text,
		note: words.generate.stopped[answer.stop],
		summary: answer.text,
	}),
};
