"""Accuracy of the demo checkpoints on reports that they were not trained on, measured through HTTP.

    python -m benchmarks.demo_accuracy --models bundles [--models bundles-int8] [--runtimes onnxruntime openvino]

Starts a server on each folder of bundles in each runtime (or uses a running one, --url), posts generated reports of
several lengths and compares the answers with what the generator knows. Questions are asked with `no_answer`, every
third of them without an answer in the report: exact match is over those that have one, F1 over finding out which have
none. Beside them accuracy of the report's type, and F1 of entities whose label, start and end are all right. Writes
JSON and two Markdown tables, one of them with the main figures alone.

Two things that these figures hide have rows of their own: exact match where many facts look like the one asked for, and
how many unanswered questions were found, those about subjects that are not in the report, which is easy, apart from
those about something that is not stated of a subject.
"""

import argparse
import asyncio
import json
import random
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import product
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx
from tqdm import tqdm

from benchmarks.running_server import running_server
from demo.questions import Question
from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report

# A question is hard if at least so many other facts differ from the one asked for in nothing but their subject.
MANY = 10

# The metrics of the short table.
MAIN = ("exact match", "no-answer F1", "accuracy", "entity F1")


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the table.

    `value` is a share between 0 and 1 over `items` questions, documents or entities; `model_tokens` is the median
    number of tokens that one request made the model read: question, special tokens and what windows share count as
    often as they are read; `windowed` is the share of requests that took more than one window; `entities` is the
    smallest number of different entities in a document.
    """

    precision: str
    task: str
    metric: str
    tokens: int
    model_tokens: int
    windowed: float
    documents: int
    entities: int
    items: int
    value: float


@dataclass(frozen=True, slots=True)
class Sample:
    """Reports of one length and the questions that are asked about them."""

    precision: str
    tokens: int
    reports: Sequence[Report]
    questions: Sequence[tuple[Report, Question]]

    @classmethod
    def draw(cls, precision: str, tokens: int, documents: int, questions: int) -> "Sample":
        """Generate documents from unseen seeds; draw so many questions from each, and half as many unanswered ones."""
        seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + documents)
        reports = [generate_report(seed, tokens) for seed in seeds]
        asked = []
        for seed, report in zip(seeds, reports, strict=True):
            rng = random.Random(seed)
            drawn = rng.sample(report.questions, min(questions, len(report.questions)))
            drawn += rng.sample(report.unanswered, min(-(-questions // 2), len(report.unanswered)))
            asked += [(report, question) for question in drawn]
        return cls(precision, tokens, reports, asked)

    def row(self, task: str, metric: str, answers: Sequence[dict[str, Any]], items: int, value: float) -> Row:
        """Describe a figure."""
        model_tokens = int(median(answer["usage"]["tokens"] for answer in answers))
        windowed = float(mean(answer["usage"]["windows"] > 1 for answer in answers))
        entities = min(len({r.text[e.start : e.end] for e in r.entities}) for r in self.reports)
        documents = len(self.reports)
        return Row(self.precision, task, metric, self.tokens, model_tokens, windowed, documents, entities, items, value)


class Service:
    """Posts requests, a few at a time.

    Args:
        client: Connected to the server.
        concurrency: Requests under way at once.
        progress: Counts the answers.
    """

    def __init__(self, client: httpx.AsyncClient, concurrency: int, progress: "tqdm[Any]") -> None:
        self._client = client
        self._slots = asyncio.Semaphore(concurrency)
        self._progress = progress

    async def post_all(self, path: str, bodies: Sequence[Mapping[str, object]]) -> list[dict[str, Any]]:
        """Return the answers in the order of the bodies; anything but 200 is an error."""
        return list(await asyncio.gather(*(self._post(path, body) for body in bodies)))

    async def _post(self, path: str, body: Mapping[str, object]) -> dict[str, Any]:
        async with self._slots:
            response = await self._client.post(path, json=body)
        response.raise_for_status()
        self._progress.update()
        answer: dict[str, Any] = response.json()
        return answer


Measure = Callable[[Service, Sample], Awaitable[list[Row]]]


async def measure_questions(service: Service, sample: Sample) -> list[Row]:
    """Measure exact match and F1 of "none", and both where they are hard.

    An answer is right if its text and position are those of the stated fact.
    """
    bodies = [{"question": q.text, "context": report.text, "no_answer": True} for report, q in sample.questions]
    answers = await service.post_all("/qa", bodies)
    exact: list[bool] = []
    exact_among_many: list[bool] = []
    recalled: dict[str, list[bool]] = {"not stated": [], "subject absent": []}
    found_none = 0
    for (_, question), answer in zip(sample.questions, answers, strict=True):
        is_none = answer["answer"] == ""
        found_none += is_none
        if question.is_answered:
            found = (answer["answer"], answer["start"], answer["end"])
            exact.append(found == (question.answer, question.start, question.end))
            if len(question.attribute_values) > MANY:
                exact_among_many.append(exact[-1])
        else:
            recalled["not stated" if question.subject_mentions else "subject absent"].append(is_none)
    none = [*recalled["not stated"], *recalled["subject absent"]]
    f1 = 2 * sum(none) / max(1, found_none + len(none))
    hard = {f"exact match, {MANY} or more alike": exact_among_many}
    hard |= {f"no-answer recall, {reason}": right for reason, right in recalled.items()}
    return [
        sample.row("qa", "exact match", answers, len(exact), float(mean(exact))),
        sample.row("qa", "no-answer F1", answers, len(none), f1),
        *(sample.row("qa", metric, answers, len(right), float(mean(right))) for metric, right in hard.items() if right),
    ]


async def measure_types(service: Service, sample: Sample) -> list[Row]:
    """Accuracy of the best label."""
    answers = await service.post_all("/classify", [{"text": report.text} for report in sample.reports])
    right = [answer["label"] == report.report_type for report, answer in zip(sample.reports, answers, strict=True)]
    return [sample.row("classify", "accuracy", answers, len(right), float(mean(right)))]


async def measure_entities(service: Service, sample: Sample) -> list[Row]:
    """Micro-averaged F1 of entities, right only with the same label, start and end."""
    answers = await service.post_all("/ner", [{"text": report.text} for report in sample.reports])
    expected = {(n, e.label, e.start, e.end) for n, report in enumerate(sample.reports) for e in report.entities}
    found = {(n, e["entity"], e["start"], e["end"]) for n, answer in enumerate(answers) for e in answer["entities"]}
    f1 = 2 * len(expected & found) / (len(expected) + len(found))
    return [sample.row("ner", "entity F1", answers, len(expected), f1)]


MEASURES: Mapping[str, Measure] = {"qa": measure_questions, "classify": measure_types, "ner": measure_entities}


async def measure(url: str, samples: Sequence[Sample], tasks: Sequence[str], concurrency: int) -> list[Row]:
    """Measure tasks on all samples against a running server."""
    rows: list[Row] = []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, timeout=300, limits=limits) as client:
        for sample in samples:
            for task in tasks:
                requests = len(sample.questions if task == "qa" else sample.reports)
                with tqdm(total=requests, desc=f"{task}, {sample.tokens} tokens", disable=None) as progress:
                    rows += await MEASURES[task](Service(client, concurrency, progress), sample)
                print(rows[-1], flush=True)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table with a column for each precision."""
    precisions = list(dict.fromkeys(row.precision for row in rows))
    values = {(row.task, row.metric, row.tokens, row.precision): row.value for row in rows}
    lines = [
        "| Task | Metric | Tokens asked of the generator | Median tokens read | Read in windows | Documents "
        f"| Entities in a document (fewest) | Items | {' | '.join(precisions)} |",
        "|---" * (8 + len(precisions)) + "|",
    ]
    for row in rows:
        if row.precision == precisions[0]:
            figures = (values.get((row.task, row.metric, row.tokens, precision)) for precision in precisions)
            cells = ["" if figure is None else f"{figure:.3f}" for figure in figures]
            lines.append(
                f"| {row.task} | {row.metric} | {row.tokens} | {row.model_tokens} | {row.windowed:.0%} "
                f"| {row.documents} | {row.entities} | {row.items} | {' | '.join(cells)} |"
            )
    return "\n".join(lines) + "\n"


def _served_in(url: str) -> str:
    """Return the precision of a server's bundles, and what runs them if that is not onnxruntime."""
    models = httpx.get(f"{url}/v1/models").raise_for_status().json()["models"]
    names = [
        model["precision"]
        if model["runtime"] == "onnxruntime"
        else f"{model['precision']} ({model['runtime']}, {model['computes_in']})"
        for model in models
    ]
    return "/".join(dict.fromkeys(names))


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a running server; without it one is started on each of --models")
    parser.add_argument("--models", type=Path, action="append", help="a folder of bundles; may be given again")
    parser.add_argument(
        "--runtimes", nargs="+", choices=["onnxruntime", "openvino"], default=["onnxruntime"], help="what runs them"
    )
    parser.add_argument("--tasks", nargs="+", choices=list(MEASURES), default=list(MEASURES))
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 1000, 4000, 10_000], help="tokens")
    parser.add_argument("--documents", type=int, default=300, help="reports for each length")
    parser.add_argument("--questions", type=int, default=4, help="answered ones of each report; half as many others")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()

    def samples(precision: str) -> list[Sample]:
        counts = arguments.documents, arguments.questions
        return [Sample.draw(precision, tokens, *counts) for tokens in arguments.lengths]

    rows: list[Row] = []
    if arguments.url is not None:
        rows += asyncio.run(measure(arguments.url, samples("served"), arguments.tasks, arguments.concurrency))
    else:
        for models, runtime in product(arguments.models or [Path("bundles")], arguments.runtimes):
            with running_server(models, {"BIGBIRD_CPU_RUNTIME": runtime}) as server:
                precision = _served_in(server.url)
                if any(row.precision == precision for row in rows):
                    parser.error(f"{models} would be the second column for {precision}")
                rows += asyncio.run(measure(server.url, samples(precision), arguments.tasks, arguments.concurrency))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "demo_accuracy.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    (arguments.output / "demo_accuracy.md").write_text(markdown(rows))
    summary = [row for row in rows if row.metric in MAIN]
    (arguments.output / "demo_accuracy_summary.md").write_text(markdown(summary))
    print(markdown(rows))


if __name__ == "__main__":
    main()
