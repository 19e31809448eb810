"""Accuracy of the demo checkpoints on reports that they were not trained on, measured through HTTP.

    python -m benchmarks.demo_accuracy --models bundles

Starts a server on the bundles (or uses a running one, --url), posts generated reports of several lengths and compares
the answers with what the generator knows: QA exact match over every question of a report, accuracy of the report's
type, and F1 of entities whose label, start and end are all right. Writes a Markdown table and JSON.
"""

import argparse
import asyncio
import contextlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import mean, median
from typing import Any

import httpx
from tqdm import tqdm

from benchmarks.running_server import running_server
from model_export.demo.reports import FIRST_EVALUATION_SEED, Report, generate_report


@dataclass(frozen=True, slots=True)
class Row:
    """One figure of the table.

    `value` is a share between 0 and 1 over `items` questions, documents or entities; `model_tokens` is the median
    number of tokens that the model read for one request, special tokens and question included.
    """

    task: str
    metric: str
    tokens: int
    model_tokens: int
    documents: int
    items: int
    value: float


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

    async def post_all(self, path: str, bodies: Sequence[dict[str, str]]) -> list[dict[str, Any]]:
        """Return the answers in the order of the bodies; anything but 200 is an error."""
        return list(await asyncio.gather(*(self._post(path, body) for body in bodies)))

    async def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        async with self._slots:
            response = await self._client.post(path, json=body)
        response.raise_for_status()
        self._progress.update()
        answer: dict[str, Any] = response.json()
        return answer


async def measure_questions(service: Service, reports: Sequence[Report], tokens: int) -> Row:
    """Exact match: the answer's text and its position are those of the stated fact."""
    asked = [(report, question) for report in reports for question in report.questions]
    answers = await service.post_all(
        "/qa", [{"question": question.text, "context": report.text} for report, question in asked]
    )
    right = [
        (answer["answer"], answer["start"], answer["end"]) == (question.answer, question.start, question.end)
        for (_, question), answer in zip(asked, answers, strict=True)
    ]
    return Row("qa", "exact match", tokens, _model_tokens(answers), len(reports), len(right), float(mean(right)))


async def measure_types(service: Service, reports: Sequence[Report], tokens: int) -> Row:
    """Accuracy of the best label."""
    answers = await service.post_all("/classify", [{"text": report.text} for report in reports])
    right = [answer["label"] == report.report_type for report, answer in zip(reports, answers, strict=True)]
    return Row("classify", "accuracy", tokens, _model_tokens(answers), len(reports), len(right), float(mean(right)))


async def measure_entities(service: Service, reports: Sequence[Report], tokens: int) -> Row:
    """Micro-averaged F1 of entities, right only with the same label, start and end."""
    answers = await service.post_all("/ner", [{"text": report.text} for report in reports])
    expected = {(n, e.label, e.start, e.end) for n, report in enumerate(reports) for e in report.entities}
    found = {(n, e["entity"], e["start"], e["end"]) for n, answer in enumerate(answers) for e in answer["entities"]}
    f1 = 2 * len(expected & found) / (len(expected) + len(found))
    return Row("ner", "entity F1", tokens, _model_tokens(answers), len(reports), len(expected), f1)


def _model_tokens(answers: Sequence[dict[str, Any]]) -> int:
    return int(median(answer["usage"]["tokens"] for answer in answers))


async def measure(url: str, lengths: Sequence[int], documents: int, concurrency: int) -> list[Row]:
    """Measure all tasks at all lengths against a running server."""
    rows = []
    limits = httpx.Limits(max_connections=concurrency)
    async with httpx.AsyncClient(base_url=url, timeout=120, limits=limits) as client:
        for tokens in lengths:
            seeds = range(FIRST_EVALUATION_SEED, FIRST_EVALUATION_SEED + documents)
            reports = [generate_report(seed, tokens) for seed in seeds]
            requests = sum(len(report.questions) for report in reports) + 2 * documents
            with tqdm(total=requests, desc=f"{tokens} tokens", disable=None) as progress:
                service = Service(client, concurrency, progress)
                for task in (measure_questions, measure_types, measure_entities):
                    rows.append(await task(service, reports, tokens))
                    print(rows[-1], flush=True)
    return rows


def markdown(rows: Sequence[Row]) -> str:
    """Return the rows as a Markdown table."""
    lines = [
        "| Task | Metric | Tokens asked of the generator | Median tokens read | Documents | Items | Value |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.task} | {row.metric} | {row.tokens} | {row.model_tokens} | {row.documents} | {row.items} "
        f"| {row.value:.3f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _server_url(url: str | None, models: Path) -> Iterator[str]:
    if url is not None:
        yield url
        return
    with running_server(models) as server:
        yield server.url


def main() -> None:
    """Run the benchmark from the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--url", help="a running server; without it one is started on --models")
    parser.add_argument("--models", type=Path, default=Path("bundles"))
    parser.add_argument("--lengths", type=int, nargs="+", default=[200, 1000], help="tokens")
    parser.add_argument("--documents", type=int, default=300, help="reports for each length")
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"))
    arguments = parser.parse_args()
    with _server_url(arguments.url, arguments.models) as url:
        rows = asyncio.run(measure(url, arguments.lengths, arguments.documents, arguments.concurrency))
    arguments.output.mkdir(parents=True, exist_ok=True)
    (arguments.output / "demo_accuracy.json").write_text(json.dumps([asdict(row) for row in rows], indent=2) + "\n")
    (arguments.output / "demo_accuracy.md").write_text(markdown(rows))
    print(markdown(rows))


if __name__ == "__main__":
    main()
