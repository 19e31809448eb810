// Every English text of the page but the examples', in one place. Keys in HTML (`data-text`, `data-label`) are those of `page`.

const count = new Intl.NumberFormat("en");
const plural = (number, one, many = `${one}s`) => `${count.format(number)} ${number === 1 ? one : many}`;
const milliseconds = (ms) => (ms >= 1000 ? `${(ms / 1000).toFixed(2)} s` : `${ms.toFixed(ms < 10 ? 1 : 0)} ms`);

export const format = {
	count: (number) => count.format(number),
	percent: (score) => (score > 0 && score < 0.001 ? "<0.1%" : `${(100 * score).toFixed(score > 0 && score < 0.0995 ? 1 : 0)}%`),
	number: (value) => (Math.abs(value) >= 1000 ? count.format(value) : value.toFixed(3)),
	milliseconds,
};

export const page = {
	skip: "Skip to the answers",
	tagline: "Long documents, read whole",
	api: "API reference",
	task: "Task",
	model: "Model",
	document: "Document",
	examples: "Examples",
	synthetic: "Synthetic",
	syntheticWhy: "Generated for this demo: the names, dates and sums in it are made up.",
	open: "Open a file",
	read: "Read",
	edit: "Edit",
	editor: "Text of the document",
	placeholder: "Paste a document, or drop a file here: text, Markdown or HTML.",
	reading: "Document with marks. N and P go to the next and the previous one.",
	ruler: "Windows of the document",
	options: "Options",
	stop: "Stop",
	again: "Try again",
	previous: "Previous",
	next: "Next",
	findings: "Findings",
	legend: "Show",
	minimum: "Lowest score",
	cost: "What it cost",
	take: "Take it along",
	key: "This service asks for a key",
	keyField: "Key",
	keyUse: "Use this key",
	keyWhy: "It is kept in this page's memory and forgotten when you close or reload it.",
	asked: "Asked about this document",
};

export const said = {
	title: (task) => `${task} · bigbird-serve`,
	characters: (number) => plural(number, "character"),
	tokens: (number) => plural(number, "token"),
	working: (seconds) => (seconds < 1 ? "Reading…" : `Reading… ${seconds} s`),
	stopped: "Stopped.",
	copied: "Copied.",
	copyFailed: "The browser did not allow copying; the text is selected, press Ctrl+C.",
	empty: {
		document: "There is no document yet. Paste one, open a file, or choose an example.",
		field: (label) => `${label} is empty.`,
		passages: "At least two texts are needed.",
	},
	files: {
		tooLarge: (megabytes) => `The file has more than ${megabytes} MB. Save the part that you need as text.`,
		notText: "The file is not text in UTF-8. Save it as text, Markdown or HTML, and open that.",
		empty: "There is no text in this file. Open another one.",
		binary: "The file is not text. Save the document as text, Markdown or HTML, and open that.",
		pasted: "Pasted text",
		typed: "Your text",
	},
	linkCopied: "Link copied. It holds the task, the model and the question, but not the document.",
	finding: (place, total, finding) =>
		`${place} of ${total}: ${finding.label}, “${finding.text}”, ${finding.scored}`,
	answer: (answer) => `Answer: “${answer.text}”, score ${answer.scored}.`,
	noAnswer: "The document does not say.",
	entities: (visible, all) => (visible === all ? "" : `${count.format(visible)} of `) + plural(all, "entity", "entities"),
	label: (label, scored) => `${label}, ${scored}.`,
	noLabel: "No label reaches the lowest score.",
	rows: (first, last, all) => `${count.format(first)}–${count.format(last)} of ${count.format(all)}`,
	window: (number, all, window, bucket) =>
		`Window ${number} of ${all}: ${plural(window.tokens, "token")}` +
		`${bucket ? `, bucket ${count.format(bucket)}` : ""}, characters ${count.format(window.start)} to ${count.format(window.end)}`,
	windowGave: (number) => `; ${plural(number, "answer")} from here`,
	windows: (all, from) =>
		all === 1
			? "Read in one window."
			: `Read in ${all} overlapping windows${from === null ? "." : `; this answer is from window ${from + 1}.`}`,
	inWindows: "In each window",
	share: (number, percent) => `Window ${number}, ${percent} of the tokens`,
	alternative: (rank) => `Answer ${rank}`,
	answerTypes: { null: "The document does not say", short: "Short answer", long: "A passage", yes: "Yes", no: "No" },
	truncated: (tokens) => `${plural(tokens, "token")} left out`,
};

export const headings = {
	text: "Text",
	label: "Label",
	score: "Score",
	place: "Characters",
	caption: "Findings in the order of the document",
	answersCaption: "Answers, best first",
};

export const cost = {
	tokens: "Tokens",
	windows: "Windows",
	buckets: "Buckets",
	queue: "Queue",
	model: "Model",
	total: "Round trip",
	times: (queue, model, rest) =>
		`${milliseconds(queue)} in the queue, ${milliseconds(model)} in the model, ${milliseconds(rest)} for all else`,
	buckets_of: (buckets) => {
		const times = new Map();
		for (const bucket of buckets) times.set(bucket, (times.get(bucket) ?? 0) + 1);
		return [...times].map(([length, number]) => `${number > 1 ? `${number} × ` : ""}${count.format(length)}`).join(", ");
	},
};

export const take = {
	curl: "curl",
	python: "Python",
	javascript: "JavaScript",
	copy: "Copy",
	link: "Copy a link",
	request: "The same request",
	formats: { json: "JSON", conll: "CoNLL", spacy: "spaCy", labelStudio: "Label Studio" },
	answer: "The answer",
	overlapping: (left) =>
		`${plural(left, "entity", "entities")} left out of CoNLL and of spaCy's “ents”, where none may overlap a longer one. ` +
		"spaCy's “spans”, JSON and Label Studio hold all.",
};

const busy = ["The service is busy.", "Ask again in a moment."];
const behindProxy = ["A proxy before the service gets no answer from it.", "Check that the service is running, then try again."];

// What went wrong, and what to do. The service's own words follow where they say more.
export const problems = {
	unreachable: ["The service cannot be reached.", "Check that it is running and that you are connected, then try again."],
	no_models: ["No model is loaded.", "The server's log and /health/ready say why. Try again once one is there."],
	no_tasks: ["No loaded model does what this page can show.", "The API reference lists what they do. Try again once others are loaded."],
	too_large: ["This is more text than the service accepts.", "Shorten it, or raise the limit that is named below."],
	unauthorized: ["The key is not known here.", "Enter another one, or ask whoever runs the service."],
	forbidden: ["This key does not allow that.", "Use another one."],
	model_not_found: ["This model is not loaded any more.", "Choose another one; the list has been read again."],
	queue_full: busy,
	too_many_requests: busy,
	too_many_connections: busy,
	not_ready: ["The service is not ready yet.", "Its models are warming up; ask again in a moment."],
	draining: ["The service is shutting down.", "Ask again once it is back."],
	deadline_exceeded: ["This took longer than the service allows.", "Ask about a shorter text, or ask again when less is going on."],
	deadline_unreachable: ["There is too much to do to answer this in time.", "Ask about a shorter text, or ask again later."],
	invalid_input: ["The model cannot read this.", "Change what is named below."],
	invalid_request: ["The service does not accept this.", "Change what is named below."],
	answer_too_large: ["The answer is larger than one may be.", "Ask for less."],
	inference_failed: ["The model failed.", "The cause is in the server's log, under the id below."],
	internal_error: ["Something unexpected happened in the service.", "The cause is in its log, under the id below."],
	other: ["The service did not answer as expected.", "Try again, or look into its log."],
	// What has none of these codes: most of it is from a proxy before the service.
	408: ["The request took too long to get there.", "Check your connection, then ask again."],
	413: ["This is more text than a proxy before the service lets through.", "Shorten it, or raise the proxy's limit."],
	429: busy,
	502: behindProxy,
	503: behindProxy,
	504: ["A proxy before the service did not wait for the answer.", "Ask about a shorter text, or let the proxy wait longer."],
};
export const countdown = (seconds) => (seconds > 0 ? `You can ask again in ${plural(seconds, "second")}.` : "You can ask again now.");
export const requestId = (id) => `Request ${id}`;

const window_stride = "Tokens that windows share";
const texts = {
	passages: "Texts",
	passage: (number) => `Text ${number}`,
	more: "One more text",
	less: (number) => `Remove text ${number}`,
};

export const tasks = {
	qa: {
		name: "Question",
		ask: "Ask",
		question: "Question",
		questionHint: "What do you want to know from the document?",
		no_answer: "The document may not say",
		top_k: "Answers",
		max_answer_tokens: "Longest answer, in tokens",
		window_stride,
	},
	classify: { name: "Classify", ask: "Classify", text_pair: "Second text, for models of pairs", window_stride },
	ner: { name: "Entities", ask: "Find entities", aggregation: "How tokens are joined", window_stride },
	embed: {
		name: "Similarity",
		ask: "Compare",
		...texts,
		pooling: "Pooling",
		own: "as the model says",
		caption: "Cosine similarity of each two texts",
		example: ["The bridge was closed for repairs in May.", "In spring, workers mended the bridge.", "Revenue rose by four percent."],
	},
	rerank: {
		name: "Rerank",
		ask: "Rank",
		query: "Query",
		...texts,
		caption: "Texts, the one that answers best first",
		exampleQuery: "When was the bridge closed?",
		example: ["The bridge was closed for repairs in May.", "Revenue rose by four percent."],
	},
	"multiple-choice": {
		name: "Choice",
		ask: "Choose",
		prompt: "Prompt",
		passages: "Choices",
		passage: (number) => `Choice ${number}`,
		more: "One more choice",
		less: (number) => `Remove choice ${number}`,
		caption: "Choices, best first",
		examplePrompt: "The harbour froze over, so",
		example: ["the ships stayed in port.", "the ships sailed at noon."],
	},
	"next-sentence": {
		name: "Next sentence",
		ask: "Score",
		first: "First text",
		second: "Second text",
		follows: "The second follows the first",
		not: "It does not",
		caption: "Whether the second text follows the first",
		exampleFirst: "The harbour froze over in January.",
		exampleSecond: "No ship could leave until March.",
	},
	"fill-mask": {
		name: "Fill in",
		ask: "Fill in",
		text: "Text with masks",
		top_k: "Predictions",
		mask: (number, total) => (total === 1 ? "For the mask" : `For mask ${number} of ${total}`),
		example: "Bergen is a city in [MASK].",
	},
	generate: {
		name: "Continue",
		ask: "Continue",
		prompt: "Text to continue",
		max_new_tokens: "Tokens to add",
		sampling: "How the next token is chosen",
		stopped: { end: "The model ended the text.", length: "The limit of tokens was reached." },
		example: "The harbour froze over in January, and",
	},
};
