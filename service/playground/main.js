// The page: what is chosen, what was asked, and what happens next.

import { Problem, Service } from "./api.js";
import { costOf } from "./cost.js";
import { listExamples, openExample, openFile, typed } from "./documents.js";
import { byId, element, fillTexts, keepFocus } from "./dom.js";
import { readLink } from "./link.js";
import { codePoints } from "./positions.js";
import { showProblem } from "./problems.js";
import { ReadingView } from "./reading.js";
import { drawResult } from "./results.js";
import { Ruler } from "./ruler.js";
import { fillTakeAlong } from "./take_along.js";
import { TASKS, usagesOf } from "./tasks/registry.js";
import { page, said } from "./texts.js";

// How much of an answer must be in sight, in pixels, for nothing to be scrolled.
const ANSWER_HEIGHT = 150;

const service = new Service();
const reading = new ReadingView(byId("reading"), (mark) => select(exchange.view.findings.indexOf(marked()[mark])));
const ruler = new Ruler(byId("ruler"), (position) => reading.goTo(position));

let models = [];
let examples = {};
let linked = readLink();
let task = null;
/** What each task's form holds, which model is chosen for it, and which exchange is shown. */
const desks = new Map();
let desk = null;
/** The question that another one may be suggested in place of: it was suggested, or has been asked. */
let settled = "";
let opened = typed("");
let openings = 0;
let exchanges = [];
let exchange = null;
let place = -1;
let asking = null;

// What is there to ask.

async function start() {
	const drawn = showExamples().catch((problem) => problem);
	await lookAround();
	const failed = await drawn;
	if (failed) throw failed;
	if (opened.text || !byId("editor").hidden) return;
	const fitting = Object.keys(examples).find((name) => isReal(desk.model) !== examples[name].synthetic);
	await chooseExample(fitting);
}

/** Do something, and say what went wrong with it. */
async function attempt(action) {
	try {
		await action();
	} catch (problem) {
		await troubled(problem, () => attempt(action));
	}
}

async function showExamples() {
	examples = await listExamples();
	byId("examples").replaceChildren(
		...Object.entries(examples).map(([example, { name, tokens }]) =>
			element(
				"button",
				{ data: { example }, onclick: () => attempt(() => chooseExample(example)) },
				name,
				element("span", { class: "hint", text: said.tokens(tokens) }),
			),
		),
	);
}

/** Read which models there are, and offer the tasks that they serve; throws a Problem where there are none. */
async function lookAround() {
	models = await service.models();
	const offered = TASKS.filter((one) => one.models(models).length);
	byId("tasks").hidden = byId("main").hidden = !offered.length;
	keepFocus(() => (byId("key-form").hidden = true), () => byId("ask"));
	if (!offered.length) throw new Problem(models.length ? "no_tasks" : "no_models");
	const drawn = offered.map((one) =>
		element(
			"label",
			{},
			element("input", { type: "radio", name: "task", value: one.id, onchange: () => chooseTask(one) }),
			element("span", { text: one.words.name }),
		),
	);
	keepFocus(
		() => {
			byId("tasks").replaceChildren(byId("tasks").firstElementChild, ...drawn);
			const wished = task?.id ?? linked.task;
			chooseTask(offered.find(({ id }) => id === wished) ?? offered.find((one) => isReal(one.models(models)[0].name)) ?? offered[0]);
			clearProblem();
		},
		() => byId("tasks").querySelector(":checked"),
	);
}

function chooseTask(chosen) {
	const changed = task !== chosen;
	task = chosen;
	if (!desks.has(task)) desks.set(task, { fields: task.fields(), options: task.options(), exchange: null });
	desk = desks.get(task);
	byId("tasks").querySelector(`[value="${task.id}"]`).checked = true;
	document.title = said.title(task.words.name);
	const served = task.models(models).map(({ name }) => name);
	byId("model").replaceChildren(...served.map((name) => element("option", { value: name, text: name })));
	chooseModel([linked.model, desk.model, served[0]].find((name) => served.includes(name)));
	linked.model = null;
	document.body.dataset.task = task.usesDocument ? "document" : "texts";
	byId("document").hidden = !task.usesDocument;
	byId("ask").textContent = task.words.ask;
	if (!changed) return;
	byId("fields").replaceChildren(...Object.values(desk.fields).map(({ node }) => node));
	byId("option-fields").replaceChildren(...Object.values(desk.options).map(({ node }) => node));
	byId("options").hidden = !Object.keys(desk.options).length;
	suggestQuestion();
	asking?.abort();
	clearProblem();
	tell("");
	showExchange(desk.exchange);
}

function chooseModel(name) {
	desk.model = byId("model").value = name;
	byId("note").textContent = noteOf(name);
}

/** Return what a model says of its limits; those of the demo know synthetic reports alone. */
const noteOf = (name) => models.find((model) => model.name === name)?.source.note ?? "";
const isReal = (name) => !noteOf(name).includes("synthetic");

/** Put a link's question into the form, or an example's, unless one stands there that was not asked yet. */
function suggestQuestion() {
	if (!task?.asksQuestion) return;
	const { question } = desk.fields;
	if (linked.question) question.value = linked.question;
	else if (!question.value.trim() || question.value === settled)
		question.value = settled = examples[opened.example]?.question ?? question.value;
	linked.question = null;
}

// The document.

/** Open a document, unless something else is opened, or begun to be written, before it is here. */
async function openWhenHere(document) {
	const own = ++openings;
	try {
		const here = await document;
		if (own === openings) openDocument(here);
	} catch (problem) {
		if (own === openings) throw problem;
	}
}

const chooseExample = (example) => openWhenHere(openExample(example, examples[example].name));

function openDocument(document) {
	openings += 1;
	opened = document;
	delete byId("editor").dataset.touched;
	asking?.abort();
	exchanges = exchanges.filter((one) => !one.task.usesDocument);
	for (const one of desks.values()) if (!exchanges.includes(one.exchange)) one.exchange = null;
	byId("document-name").textContent = opened.name;
	byId("synthetic").hidden = !examples[opened.example]?.synthetic;
	byId("characters").textContent = said.characters(codePoints(opened.text));
	for (const button of byId("examples").children)
		button.setAttribute("aria-pressed", String(button.dataset.example === opened.example));
	reading.show(opened.text);
	suggestQuestion();
	if (!byId("main").hidden) clearProblem();
	tell("");
	showExchange(desk?.exchange ?? null);
	setMode(opened.text ? "read" : "edit");
}

function setMode(mode) {
	const editing = mode === "edit";
	const editor = byId("editor");
	if (editing === !editor.hidden) return;
	if (editing) {
		openings += 1;
		editor.value = opened.text;
	}
	keepFocus(
		() => {
			editor.hidden = !editing;
			byId("reading").hidden = byId("ruler").hidden = editing;
		},
		() => byId("reading"),
	);
	byId("edit").setAttribute("aria-pressed", String(editing));
	byId("read").setAttribute("aria-pressed", String(!editing));
	if (editing) editor.focus();
	else showSight();
}

/** Take over what was typed. A text area makes one line break of CR and LF, so what was not touched stays as it is. */
function commitEdit() {
	const editor = byId("editor");
	if (editor.hidden) return;
	if (editor.dataset.touched) openDocument(typed(editor.value));
	else setMode("read");
}

function takeFile(file) {
	if (!file) return;
	openWhenHere(openFile(file)).catch((error) => {
		tell(error.message);
		byId("status").scrollIntoView({ block: "nearest" });
	});
}

// Asking.

async function ask(event) {
	event?.preventDefault();
	if (asking) return;
	if (task.usesDocument) commitEdit();
	const all = { ...desk.fields, ...desk.options };
	if (task.usesDocument && !opened.text.trim()) {
		tell(said.empty.document);
		return;
	}
	const flawed = Object.values(all).find((field) => field.wrong?.());
	if (flawed) {
		byId("options").open ||= byId("options").contains(flawed.node);
		flawed.node.querySelector("input, textarea").focus();
		tell(flawed.wrong());
		return;
	}
	performance.mark("bigbird:asked");
	const values = Object.fromEntries(
		Object.entries(all).map(([name, field]) => [name, field.value]).filter(([, value]) => value !== undefined),
	);
	const body = { ...task.body(values, opened.text), model: byId("model").value };
	const asked = { task, path: task.path, body, text: opened.text, question: values.question ?? null };
	settled = asked.question ?? settled;
	asking = new AbortController();
	const own = asking;
	clearProblem();
	const working = showWorking();
	try {
		const { answer, took } = await service.ask(task.path, body, own.signal);
		if (own.signal.aborted) return;
		const kept = { ...asked, answer, ...understood(asked, answer, took) };
		exchanges.push(kept);
		showExchange(kept);
		tell(kept.view.summary, false);
		lead();
		requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("bigbird:marked")));
	} catch (problem) {
		if (problem.name === "AbortError") tell(asked.task === task ? said.stopped : "");
		else await troubled(problem, ask);
	} finally {
		if (asking === own) asking = null;
		working();
	}
}

/** Return what a task reads out of an answer; throws a Problem where the answer is none of its own. */
function understood({ task, text, body }, answer, took) {
	try {
		return { view: task.read(answer, text, body), cost: costOf(usagesOf(task, answer), took) };
	} catch {
		throw new Problem("other");
	}
}

/** Say that the service is at work; return what ends that. */
function showWorking() {
	const began = Date.now();
	const say = () => tell(said.working(Math.floor((Date.now() - began) / 1000)));
	const timer = setInterval(say, 1000);
	tell(said.working(0));
	document.body.dataset.working = "true";
	byId("stop").hidden = false;
	// A button that is disabled would lose the focus.
	byId("ask").ariaDisabled = "true";
	return () => {
		clearInterval(timer);
		delete document.body.dataset.working;
		keepFocus(() => (byId("stop").hidden = true), () => byId("ask"));
		byId("ask").ariaDisabled = null;
	};
}

// What came of it.

const marked = () => exchange.view.findings.filter(({ empty }) => !empty);

function showExchange(chosen) {
	exchange = chosen;
	place = -1;
	if (desk) desk.exchange = exchange;
	keepFocus(drawExchange, () => byId(exchange ? "results" : "ask"));
	listExchanges();
}

function drawExchange() {
	byId("results").hidden = !exchange;
	byId("windows").textContent = "";
	if (!exchange) {
		reading.mark([]);
		ruler.draw(opened.text.length);
		showSight();
		return;
	}
	const { view, cost } = exchange;
	const { node, table } = drawResult(view, select, filter);
	exchange.table = table;
	byId("result").replaceChildren(node);
	byId("step").hidden = !table;
	byId("cost").replaceChildren(cost);
	byId("take").open = false;
	byId("taken").replaceChildren();
	if (!exchange.task.usesDocument) return;
	reading.mark(marked());
	ruler.draw(exchange.text.length, { ...view, findings: marked(), buckets: exchange.answer.usage.buckets });
	tellWindows(null);
	showSight();
	if (view.kind === "answers" && !view.findings[0].empty) select(0, false);
}

/** Bring what was found into sight: on a small screen the page is longer than the window. */
function lead() {
	const { top } = byId("results").getBoundingClientRect();
	if (place >= 0) byId("reading").scrollIntoView({ block: "nearest" });
	else if (top < 0 || top > innerHeight - ANSWER_HEIGHT) byId("results").scrollIntoView();
}

/** Look at one finding: in the text, in the table and on the ruler. */
function select(chosen, spoken = true) {
	const finding = exchange?.view.findings[chosen];
	if (!finding || finding.empty) return;
	// What is being written is not thrown away for what is looked at.
	if (byId("editor").dataset.touched) return;
	place = chosen;
	setMode("read");
	reading.select(marked().indexOf(finding));
	exchange.table.select(place);
	ruler.choose(finding.window);
	tellWindows(finding.window);
	if (!spoken) return;
	tell(said.finding(exchange.table.visible.indexOf(place) + 1, exchange.table.visible.length, finding), false);
	lead();
}

function step(by) {
	const next = exchange?.table?.neighbour(place, by) ?? -1;
	if (next >= 0) select(next);
}

function filter(isShown, counted) {
	if (place >= 0 && !isShown(exchange.view.findings[place])) {
		place = -1;
		reading.select(-1);
		exchange.table.select(-1);
		ruler.choose(null);
		tellWindows(null);
	}
	reading.filter(isShown);
	ruler.filter(exchange.view.findings, isShown);
	tell(counted, false);
}

function tellWindows(from) {
	byId("windows").textContent = said.windows(exchange.view.windows.length, from);
}

function listExchanges() {
	const own = task?.asksQuestion ? exchanges.filter((one) => one.task === task) : [];
	byId("asked").hidden = own.length < 2;
	const drawn = own.map((one) => {
		const [best] = one.view.findings;
		const look = element(
			"button",
			{ aria: one === exchange ? { current: "true" } : {}, onclick: () => lookBack(one) },
			element("span", { class: "question", dir: "auto", text: one.question }),
			element("span", { dir: "auto", text: best.empty ? said.noAnswer : best.text }),
			element("span", { class: "number", text: best.scored }),
		);
		return element("li", {}, look);
	});
	keepFocus(() => byId("exchanges").replaceChildren(...drawn), () => byId("exchanges").querySelector("[aria-current]"));
}

/** Show an earlier question again, with its answer and in the form. */
function lookBack(earlier) {
	showExchange(earlier);
	desk.fields.question.value = settled = earlier.question;
	if (task.models(models).some(({ name }) => name === earlier.body.model)) chooseModel(earlier.body.model);
	tell(earlier.view.summary, false);
	lead();
}

function showSight() {
	if (!byId("reading").hidden) ruler.showSight(reading.sight());
}

// What is said.

/** Say what is happening; what can be seen elsewhere is for screen readers only. */
function tell(text, seen = true) {
	byId("status").textContent = text;
	byId("status").classList.toggle("unseen", !seen);
}

let endProblem = () => {};
function clearProblem() {
	keepFocus(endProblem, () => byId("ask"));
}

/** Say what went wrong and what to do; `again` is done once a missing key is there, or when a button is pressed. */
async function troubled(problem, again) {
	tell("");
	if (!(problem instanceof Problem)) throw problem;
	const node = byId("problem");
	if (problem.code === "model_not_found") {
		try {
			await lookAround();
		} catch (worse) {
			// Otherwise what went wrong first is what is told.
			if (byId("main").hidden) [problem, again] = [worse, () => attempt(start)];
		}
	}
	const held = node.contains(document.activeElement);
	endProblem();
	if (problem.code === "unauthorized") {
		const wrong = service.hasKey;
		service.useKey(null);
		byId("key-form").hidden = false;
		byId("key-form").onsubmit = (event) => {
			event.preventDefault();
			service.useKey(byId("key").value.trim());
			byId("key").value = "";
			clearProblem();
			if (!byId("main").hidden) keepFocus(() => (byId("key-form").hidden = true), () => byId("ask"));
			again();
		};
		byId("key").focus();
		if (!wrong) return;
	}
	if (byId("main").hidden) byId("main").before(node);
	else byId("status").after(node);
	// Whoever asked has the button for that.
	endProblem = showProblem(node, problem, again === ask || problem.code === "unauthorized" ? null : again);
	if (held) node.querySelector("button")?.focus();
	node.scrollIntoView({ block: "nearest" });
}

// What people do.

const on = (id, type, listener) => byId(id).addEventListener(type, listener);
on("form", "submit", ask);
on("stop", "click", () => asking?.abort());
on("model", "change", (event) => chooseModel(event.target.value));
on("skip", "click", (event) => {
	event.preventDefault();
	byId(exchange ? "results" : "ask").focus();
});
on("read", "click", commitEdit);
on("edit", "click", () => setMode("edit"));
on("editor", "input", (event) => {
	event.target.dataset.touched = "true";
});
on("file", "change", (event) => {
	takeFile(event.target.files[0]);
	event.target.value = "";
});
on("previous", "click", () => step(-1));
on("next", "click", () => step(1));
on("take", "toggle", () => {
	if (byId("take").open && exchange) fillTakeAlong(byId("taken"), exchange, service.hasKey);
});
on("reading", "keydown", (event) => {
	if (event.ctrlKey || event.altKey || event.metaKey) return;
	const by = { n: 1, p: -1 }[event.key.toLowerCase()];
	if (!by) return;
	event.preventDefault();
	step(by);
});
document.addEventListener("keydown", (event) => {
	if (event.key === "Enter" && (event.ctrlKey || event.metaKey) && event.target.matches("textarea")) ask(event);
});
document.addEventListener("paste", (event) => {
	const text = event.clipboardData?.getData("text/plain");
	if (!text || !task?.usesDocument || event.target.closest?.("input, textarea, select")) return;
	event.preventDefault();
	openDocument(typed(text, said.files.pasted));
});
document.addEventListener("dragover", (event) => {
	if (![...(event.dataTransfer?.types ?? [])].includes("Files")) return;
	event.preventDefault();
	document.body.dataset.dropping = "true";
});
document.addEventListener("dragleave", (event) => {
	if (!event.relatedTarget) delete document.body.dataset.dropping;
});
document.addEventListener("drop", (event) => {
	delete document.body.dataset.dropping;
	const [file] = event.dataTransfer?.files ?? [];
	if (!file) return;
	event.preventDefault();
	if (task?.usesDocument) takeFile(file);
});
let frame = 0;
on("reading", "scroll", () => {
	frame ||= requestAnimationFrame(() => {
		frame = 0;
		showSight();
	});
});
addEventListener("hashchange", () => {
	linked = readLink();
	const wished = TASKS.find((one) => one.id === linked.task && one.models(models).length) ?? task;
	if (!wished) return;
	chooseTask(wished);
	if (linked.question) suggestQuestion();
});
// Tab goes through the page in the order in which it is seen.
const narrow = matchMedia("(max-width: 60rem)");
const arrange = () => keepFocus(() => byId("main")[narrow.matches ? "prepend" : "append"](byId("panel")), (held) => held);
narrow.addEventListener("change", arrange);
arrange();
fillTexts(page);
attempt(start);
