// Every task that the page knows, in the order in which it offers those of the loaded models.

import { classification, entities, questionAnswering } from "./document_tasks.js";
import { generation, maskFilling } from "./language_tasks.js";
import { multipleChoice, nextSentence, reranking, similarity } from "./passage_tasks.js";
import { tasks as words } from "../texts.js";

const byDefault = ({ id }) => ({
	words: words[id],
	path: `/${id}`,
	models: (models) => models.filter(({ task }) => task === id),
	fields: () => ({}),
	options: () => ({}),
	body: (values) => values,
});

export const TASKS = [
	questionAnswering,
	entities,
	classification,
	similarity,
	reranking,
	maskFilling,
	multipleChoice,
	nextSentence,
	generation,
].map((task) => ({ ...byDefault(task), ...task }));

export const usagesOf = (task, answer) => (task.usages ? task.usages(answer) : [answer.usage]);
