// The page: what is chosen, what was asked, and what happens next.

import { Problem, Service } from "./api.js";
import { costOf } from "./cost.js";
import { listExamples, openExample, openFile, typed } from "./documents.js";
import { byId, element, fillTexts } from "./dom.js";
import { readLink } from "./link.js";
import { codePoints } from "./positions.js";
import { showProblem } from "./problems.js";
import { ReadingView } from "./reading.js";
import { drawResult } from "./results.js";
import { Ruler } from "./ruler.js";
import { fillTakeAlong } from "./take_along.js";
import { TASKS, usagesOf } from "./tasks/registry.js";
import { examples as exampleNames, page, said } from "./texts.js";

const service = new Service();
const reading = new ReadingView(byId("reading"), select);
const ruler = new Ruler(byId("ruler"), (position) => reading.goTo(position));

let models = [];
let suggestions = {};
let linked = readLink();
let task = null;
let form = null;
let opened = typed("");
let openings = 0;
let exchanges = [];
let exchange = null;
let place = -1;
let asking = null;

// What is there to ask.

async function start() {
  fillTexts(page);
  suggestions = await listExamples();
  byId("examples").replaceChildren(
    ...Object.keys(suggestions).map((name) =>
      element(
        "button",
        {
          type: "button",
          data: { example: name },
          onclick: () => {
            linked = {};
            chooseExample(name);
          },
        },
        exampleNames[name].button,
        element("span", { class: "hint", text: exampleNames[name].size }),
      ),
    ),
  );
  await Promise.all([chooseExample(Object.keys(suggestions)[0]), lookAround()]);
}

/** Read which models there are, and offer the tasks that they serve. */
async function lookAround() {
  try {
    const listed = await service.models();
    models = listed.models;
    byId("key-form").hidden = true;
    clearProblem();
  } catch (problem) {
    await troubled(problem, lookAround);
    return;
  }
  const offered = TASKS.filter((one) => one.models(models).length);
  if (!offered.length) {
    tell(models.length ? said.noTasks : said.noModels);
    return;
  }
  byId("tasks").hidden = byId("main").hidden = false;
  byId("tasks").replaceChildren(
    byId("tasks").firstElementChild,
    ...offered.map((one) =>
      element(
        "label",
        {},
        element("input", { type: "radio", name: "task", value: one.id, onchange: () => chooseTask(one) }),
        element("span", { text: one.words.name }),
      ),
    ),
  );
  const wished = offered.find((one) => one.id === (task?.id ?? linked.task)) ?? offered[0];
  chooseTask(wished);
}

function chooseTask(chosen) {
  const changed = task !== chosen;
  task = chosen;
  byId("tasks").querySelector(`[value="${task.id}"]`).checked = true;
  document.title = said.title(task.words.name);
  const served = task.models(models);
  byId("model").replaceChildren(...served.map(({ name }) => element("option", { value: name, text: name })));
  if (served.some(({ name }) => name === linked.model)) byId("model").value = linked.model;
  showNote();
  document.body.dataset.task = task.usesDocument ? "document" : "texts";
  byId("document").hidden = !task.usesDocument;
  byId("ask").textContent = task.words.ask;
  if (!changed) return;
  form = { fields: task.fields(), options: task.options() };
  byId("fields").replaceChildren(...Object.values(form.fields).map(({ node }) => node));
  byId("option-fields").replaceChildren(...Object.values(form.options).map(({ node }) => node));
  byId("options").hidden = !Object.keys(form.options).length;
  suggestQuestion();
  asking?.abort();
  clearProblem();
  showExchange(exchanges.findLast((one) => one.task === task) ?? null);
  listExchanges();
}

function showNote() {
  const model = models.find(({ name }) => name === byId("model").value);
  byId("note").textContent = model?.source.note ?? "";
}

function suggestQuestion() {
  if (!task?.asksQuestion) return;
  const question = linked.question ?? suggestions[opened.example]?.question;
  if (question) form.fields.question.value = question;
}

// The document.

/** Open an example, unless something else is opened before it is here. */
async function chooseExample(name) {
  const own = ++openings;
  try {
    const example = await openExample(name, exampleNames[name].name);
    if (own === openings) openDocument(example);
  } catch {
    await troubled(new Problem("unreachable"), () => chooseExample(name));
  }
}

function openDocument(document) {
  openings += 1;
  opened = document;
  delete byId("editor").dataset.touched;
  asking?.abort();
  exchanges = exchanges.filter((one) => !one.task.usesDocument);
  byId("document-name").textContent = opened.name;
  byId("synthetic").hidden = opened.example === null;
  byId("characters").textContent = said.characters(codePoints(opened.text));
  for (const button of byId("examples").children)
    button.setAttribute("aria-pressed", String(button.dataset.example === opened.example));
  reading.show(opened.text);
  suggestQuestion();
  clearProblem();
  tell("");
  showExchange(null);
  listExchanges();
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
  editor.hidden = !editing;
  byId("reading").hidden = byId("ruler").hidden = editing;
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
  delete editor.dataset.touched;
  setMode("read");
}

async function takeFile(file) {
  if (!file) return;
  try {
    openDocument(await openFile(file));
  } catch (error) {
    tell(error.message);
  }
}

// Asking.

async function ask(event) {
  event?.preventDefault();
  if (asking) return;
  if (task.usesDocument) commitEdit();
  const all = { ...form.fields, ...form.options };
  const missing = [
    ...(task.usesDocument && !opened.text.trim() ? [said.empty.document] : []),
    ...Object.values(all).map((field) => field.missing()),
  ].find(Boolean);
  if (missing) {
    tell(missing);
    return;
  }
  linked = {};
  performance.mark("bigbird:asked");
  const values = Object.fromEntries(
    Object.entries(all).map(([name, field]) => [name, field.value]).filter(([, value]) => value !== undefined),
  );
  const body = { ...task.body(values, opened.text), model: byId("model").value };
  const asked = { task, path: task.path, body, text: opened.text, question: values.question ?? null };
  asking = new AbortController();
  const own = asking;
  clearProblem();
  const working = showWorking();
  try {
    const { answer, took } = await service.ask(task.path, body, own.signal);
    if (own.signal.aborted) return;
    const view = asked.task.read(answer, asked.text, body);
    const kept = { ...asked, answer, took, view };
    exchanges.push(kept);
    showExchange(kept);
    listExchanges();
    tell(view.summary, false);
    requestAnimationFrame(() => requestAnimationFrame(() => performance.mark("bigbird:marked")));
  } catch (problem) {
    if (problem.name === "AbortError") tell(said.stopped);
    else await troubled(problem, ask);
  } finally {
    if (asking === own) asking = null;
    working();
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
  byId("ask").disabled = true;
  return () => {
    clearInterval(timer);
    delete document.body.dataset.working;
    byId("stop").hidden = true;
    byId("ask").disabled = false;
  };
}

// What came of it.

function showExchange(chosen) {
  exchange = chosen;
  place = -1;
  byId("results").hidden = !exchange;
  byId("windows").textContent = "";
  if (!exchange) {
    reading.mark([]);
    ruler.draw(opened.text.length);
    showSight();
    return;
  }
  const { view } = exchange;
  const { node, table } = drawResult(view, select, filter);
  exchange.table = table;
  byId("result").replaceChildren(node);
  byId("step").hidden = !table;
  const usages = usagesOf(exchange.task, exchange.answer);
  byId("cost").replaceChildren(costOf(usages, exchange.took));
  byId("take").open = false;
  byId("taken").replaceChildren();
  if (!exchange.task.usesDocument) return;
  reading.mark(view.findings.filter(({ empty }) => !empty));
  ruler.draw(exchange.text.length, { ...view, buckets: usages[0].buckets, chosen: null });
  tellWindows(null);
  showSight();
  if (view.kind === "answers" && !view.findings[0].empty) select(0, false);
}

/** Look at one finding: in the text, in the table and on the ruler. */
function select(chosen, spoken = true) {
  const finding = exchange?.view.findings[chosen];
  if (!finding || finding.empty) return;
  // What is being written is not thrown away for what is looked at.
  if (byId("editor").dataset.touched) return;
  place = chosen;
  setMode("read");
  reading.select(exchange.view.findings.filter(({ empty }) => !empty).indexOf(finding));
  exchange.table.select(place);
  ruler.choose(finding.window);
  tellWindows(finding.window);
  if (spoken) tell(said.finding(exchange.table.visible.indexOf(place) + 1, exchange.table.visible.length, finding), false);
}

function step(by) {
  const next = exchange?.table?.neighbour(place, by) ?? -1;
  if (next >= 0) select(next);
}

function filter(isShown, counted) {
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
  byId("exchanges").replaceChildren(
    ...own.map((one) =>
      element(
        "li",
        {},
        element(
          "button",
          {
            type: "button",
            aria: one === exchange ? { current: "true" } : {},
            onclick: () => {
              showExchange(one);
              form.fields.question.value = one.question;
              listExchanges();
              tell(one.view.summary, false);
            },
          },
          element("span", { class: "question", dir: "auto", text: one.question }),
          element("span", { dir: "auto", text: one.view.findings[0].empty ? said.noAnswer : one.view.findings[0].text }),
          element("span", { class: "number", text: one.view.findings[0].scored }),
        ),
      ),
    ),
  );
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
  endProblem();
}

/** Say what went wrong and what to do; a missing key is asked for, and `again` is done once it is there. */
async function troubled(problem, again) {
  if (!(problem instanceof Problem)) throw problem;
  tell("");
  clearProblem();
  if (problem.code === "unauthorized") {
    const wrong = service.hasKey;
    service.useKey(null);
    byId("key-form").hidden = false;
    byId("key-form").onsubmit = (event) => {
      event.preventDefault();
      service.useKey(byId("key").value.trim());
      byId("key").value = "";
      byId("key-form").hidden = true;
      clearProblem();
      again();
    };
    byId("key").focus();
    if (!wrong) return;
  }
  endProblem = showProblem(byId("problem"), problem);
  if (byId("main").hidden) byId("main").before(byId("problem"));
  if (problem.code === "model_not_found") {
    try {
      models = (await service.models()).models;
      if (task.models(models).length) chooseTask(task);
    } catch {
      // What went wrong first is what is told.
    }
  }
}

// What people do.

byId("form").addEventListener("submit", ask);
byId("stop").addEventListener("click", () => asking?.abort());
byId("model").addEventListener("change", showNote);
byId("read").addEventListener("click", commitEdit);
byId("edit").addEventListener("click", () => setMode("edit"));
byId("editor").addEventListener("input", (event) => {
  event.target.dataset.touched = "true";
});
byId("file").addEventListener("change", (event) => {
  takeFile(event.target.files[0]);
  event.target.value = "";
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("take").addEventListener("toggle", () => {
  if (byId("take").open && exchange) fillTakeAlong(byId("taken"), exchange, service.hasKey, tell);
});
byId("reading").addEventListener("keydown", (event) => {
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
byId("reading").addEventListener("scroll", () => {
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    showSight();
  });
});
addEventListener("hashchange", () => {
  linked = readLink();
  const wished = TASKS.find((one) => one.id === linked.task && one.models(models).length);
  if (wished) chooseTask(wished);
  if (task) suggestQuestion();
});
start().catch(() => troubled(new Problem("unreachable"), start));
