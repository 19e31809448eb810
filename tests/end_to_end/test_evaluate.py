"""`bigbird evaluate` on the demo bundles: the commands of docs/evaluate.md, and figures that are known beforehand."""

import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer
from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report
from tests.documented_commands import link_environment, run_here

pytestmark = pytest.mark.integration  # takes long

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "evaluate.md").read_text("utf-8")
COMMANDS = re.findall(r"```bash\n(.*?)```", PAGE, re.DOTALL)
(EXPORT,) = re.findall(r"^\.venv/bin/bigbird export .*$", "".join(COMMANDS), re.MULTILINE)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder like the project's, in which the export of the page has been run, with few buckets."""
    folder = tmp_path_factory.mktemp("exported")
    link_environment(folder)
    shell(folder, f"{EXPORT} --buckets 128,704")
    return folder


@pytest.fixture
def workplace(tmp_path: Path, bundles: Path, exported: Path) -> Path:
    """A folder with `bundles` and what the page exports, and a `.venv/bin/bigbird` to call."""
    (tmp_path / "bundles").mkdir()
    for bundle in bundles.glob("demo-*"):
        (tmp_path / "bundles" / bundle.name).symlink_to(bundle)
    (tmp_path / "build").symlink_to(exported / "build")
    link_environment(tmp_path)
    return tmp_path


def shell(workplace: Path, script: str) -> str:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=workplace, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_commands_of_the_documentation_do_what_it_says(workplace: Path, server: RunningServer) -> None:
    scripts = [command.replace("http://127.0.0.1:8000", server.url).replace(EXPORT, "") for command in COMMANDS]
    printed = [shell(workplace, script) for script in scripts]
    questions, labels, entities, compared, served = printed
    assert "SQuAD v2.0, 2 questions about 1 documents." in questions
    assert re.search(r"\| all \| 1 \| 1\.000 ", questions)
    assert "2 texts with a label each." in labels
    assert re.search(r"\| all \| 2 \| 1\.000 ", labels)
    assert json.loads((workplace / "report.json").read_text("utf-8"))["requests"] == 2
    assert "CoNLL columns tagged BIO, 1 texts with 2 entities." in entities
    assert re.search(r"\| all \| 1 \| 1\.000 ", entities)
    assert "## demo-classify-int8 (int8) minus demo-classify (fp32)" in compared
    assert "exact McNemar test: p = " in compared
    # The same model gives the same answers in this process and behind a server.
    assert served == labels


def write_reports(path: Path, lengths: Sequence[int]) -> Sequence[str]:
    """Write reports that the demo was not trained on, and one that is blank; return the labels."""
    reports = [generate_report(FIRST_EVALUATION_SEED + seed, tokens) for tokens in lengths for seed in range(4)]
    rows = [{"text": report.text, "label": report.report_type} for report in reports]
    path.write_text("\n".join(json.dumps(row) for row in [*rows, {"text": "\t \n", "label": reports[0].report_type}]))
    return [row["label"] for row in rows]


def evaluate(workplace: Path, *arguments: str) -> dict[str, Any]:
    """Give the command, in this process, and return its report."""
    words = shlex.split(" ".join(arguments))
    run_here([".venv/bin/bigbird", "evaluate", *words, "--output", "report.json", "--resamples", "100"], workplace)
    report: dict[str, Any] = json.loads((workplace / "report.json").read_text("utf-8"))
    return report


def test_a_bundle_is_no_better_than_itself(workplace: Path) -> None:
    labels = write_reports(workplace / "reports.jsonl", (150, 400))
    bundle = "bundles/demo-classify"
    report = evaluate(workplace, bundle, "--against", bundle, "--task", "classify", "--data", "reports.jsonl")
    first, second = report["results"]
    assert first["all"] == second["all"]
    assert first["all"]["documents"] == len(labels) + 1
    assert [refused["line"] for refused in first["refused"]] == [len(labels) + 1]
    assert first["refused"][0]["reason"].startswith("422 Invalid input: ")
    assert {figure["value"] for figure in report["comparison"]["all"]["figures"]} == {0.0}
    assert report["comparison"]["mcnemar"] == {"only_first": 0, "only_second": 0, "p_value": 1.0}


def test_int8_is_compared_with_fp32_text_by_text(workplace: Path) -> None:
    write_reports(workplace / "reports.jsonl", (150, 400))
    report = evaluate(
        workplace,
        "bundles/demo-classify --against build/demo-classify-int8 --task classify --data reports.jsonl",
        "--lengths 300",
    )
    first, second = report["results"]
    assert (first["model"]["precision"], second["model"]["precision"]) == ("fp32", "int8")
    assert [row["refused"] for row in first["by_length"]] == [False, False, True]
    accuracies = [result["all"]["figures"][0]["value"] for result in (first, second)]
    assert report["comparison"]["all"]["figures"][0]["value"] == pytest.approx(accuracies[1] - accuracies[0])
    mcnemar = report["comparison"]["mcnemar"]
    surplus = mcnemar["only_second"] - mcnemar["only_first"]
    assert surplus == pytest.approx((accuracies[1] - accuracies[0]) * first["all"]["documents"])


def test_the_figure_is_what_the_answers_of_the_service_give(workplace: Path, server: RunningServer) -> None:
    write_reports(workplace / "reports.jsonl", (150,))
    rows = [json.loads(line) for line in (workplace / "reports.jsonl").read_text().splitlines()[:-1]]
    answers = [httpx.post(f"{server.url}/classify", json={"text": row["text"]}, timeout=60).json() for row in rows]
    right = sum(answer["label"] == row["label"] for answer, row in zip(answers, rows, strict=True))
    report = evaluate(workplace, server.url, "--task", "classify", "--data", "reports.jsonl")
    assert report["results"][0]["all"]["figures"][0]["value"] == pytest.approx(right / (len(rows) + 1))


def figures_of(report: dict[str, Any]) -> dict[str, float]:
    (own,) = report["results"]
    return {figure["name"]: figure["value"] for figure in own["all"]["figures"]}


def plain(text: str) -> list[str]:
    """Return the words of an answer as SQuAD compares them."""
    return [word for word in re.sub(r"[!-/:-@\[-`{-~]", "", text.lower()).split() if word not in ("a", "an", "the")]


def test_figures_of_questions_are_those_of_the_answers_that_the_service_gives(
    workplace: Path, server: RunningServer
) -> None:
    # Code points beyond 16 bits move everything; the second document is longer than the model.
    reports = [generate_report(FIRST_EVALUATION_SEED + 7, 300), generate_report(FIRST_EVALUATION_SEED + 8, 3000)]
    contexts = ["\N{SLIGHTLY SMILING FACE} " + report.text for report in reports]
    questions = [[*report.questions[-4:], *report.unanswered[:2]] for report in reports]
    paragraphs = [
        {
            "context": context,
            "qas": [
                {
                    "id": f"{number}-{place}",
                    "question": one.text,
                    "is_impossible": not one.answer,
                    "answers": [{"text": one.answer, "answer_start": one.start + 2}] if one.answer else [],
                }
                for place, one in enumerate(asked)
            ],
        }
        for number, (context, asked) in enumerate(zip(contexts, questions, strict=True))
    ]
    (workplace / "dev.json").write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    answers, expected = [], []
    for context, asked in zip(contexts, questions, strict=True):
        for one in asked:
            body = {"question": one.text, "context": context, "no_answer": True}
            answers.append(httpx.post(f"{server.url}/qa", json=body, timeout=120).json())
            expected.append(one.answer)
            assert context[answers[-1]["start"] : answers[-1]["end"]] == answers[-1]["answer"]
    assert {answer["usage"]["windows"] > 1 for answer in answers} == {False, True}
    report = evaluate(workplace, server.url, "--task", "qa", "--data", "dev.json", "--predictions", "items.jsonl")
    right = [plain(answer["answer"]) == plain(own) for answer, own in zip(answers, expected, strict=True)]
    of_impossible = [one for one, own in zip(right, expected, strict=True) if not own]
    figures = figures_of(report)
    assert figures["exact match"] == pytest.approx(sum(right) / len(right))
    assert figures["exact match, impossible"] == pytest.approx(sum(of_impossible) / len(of_impossible))
    items = [json.loads(line) for line in (workplace / "items.jsonl").read_text("utf-8").splitlines()]
    assert [(item["id"], item["expected"]) for item in items[:2]] == [
        ("0-0", [expected[0]]),
        ("0-1", [expected[1]]),
    ]
    written = [(model["answer"], model["right"], model["tokens"]) for item in items for model in item["models"]]
    assert written == [
        (answer["answer"], one, answer["usage"]["tokens"]) for answer, one in zip(answers, right, strict=True)
    ]


def tagged_lines(report: Report) -> list[list[tuple[str, str]]]:
    """Return the words and tags of a report's lines that are not blank; each sign is a word of its own."""
    lines, offset = [], 0
    for line in report.text.split("\n"):
        words = []
        for match in re.finditer(r"\w+|[^\w\s]", line):
            start, end = offset + match.start(), offset + match.end()
            inside = [one for one in report.entities if one.start <= start and end <= one.end]
            prefix = "B" if inside and inside[0].start == start else "I"
            words.append((match.group(), f"{prefix}-{inside[0].label}" if inside else "O"))
        lines.append(words)
        offset += len(line) + 1
    return [words for words in lines if words]


def text_and_entities(lines: list[list[tuple[str, str]]]) -> tuple[str, set[tuple[str, int, int]]]:
    """Write words as a text, and find the entities of their tags in it."""
    text, entities = "", []
    for words in lines:
        for word, tag in words:
            if tag[0] == "B":
                entities.append((tag[2:], len(text), len(text) + len(word)))
            elif tag[0] == "I":
                entities[-1] = (*entities[-1][:2], len(text) + len(word))
            text += word + " "
        text = text[:-1] + "\n"
    return text[:-1], set(entities)


def test_figures_of_entities_are_those_of_the_entities_that_the_service_finds(
    workplace: Path, server: RunningServer
) -> None:
    reports = [generate_report(FIRST_EVALUATION_SEED + 7, 300), generate_report(FIRST_EVALUATION_SEED + 8, 3000)]
    documents = [[[("\N{SLIGHTLY SMILING FACE}", "O")], *tagged_lines(report)] for report in reports]
    lines = []
    for document in documents:
        lines.append("-DOCSTART- O\n")
        lines += ["\n".join(f"{word} {tag}" for word, tag in words) + "\n" for words in document]
    (workplace / "dev.conll").write_text("\n".join(lines), "utf-8")
    right = found = expected = windows = 0
    for document, report in zip(documents, reports, strict=True):
        text, own = text_and_entities(document)
        assert len(own) == len(report.entities)
        body = {"text": text, "aggregation": "first"}
        answer = httpx.post(f"{server.url}/ner", json=body, timeout=120).json()
        given = {(entity["entity"], entity["start"], entity["end"]) for entity in answer["entities"]}
        right, found, expected = right + len(given & own), found + len(given), expected + len(own)
        windows += answer["usage"]["windows"]
    assert windows > len(documents)
    figures = figures_of(
        evaluate(workplace, server.url, "--task", "ner", "--data", "dev.conll", "--aggregation", "first")
    )
    assert figures["precision"] == pytest.approx(right / found)
    assert figures["recall"] == pytest.approx(right / expected)
    assert figures["entity F1"] == pytest.approx(2 * right / (found + expected))


def test_a_process_that_gives_up_during_a_run_ends_in_order(workplace: Path) -> None:
    script = (
        "import asyncio, sys\n"
        "from pathlib import Path\n"
        "from evaluation.bundle_service import serve_bundle\n"
        "from service.serving import Serving\n"
        "async def give_up(serving): sys.exit(3)\n"
        "Serving.warmed = give_up\n"
        "async def main():\n"
        "    async with serve_bundle(Path('bundles/demo-classify')): pass\n"
        "asyncio.run(main())"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    # Warming has begun and its first run is under way when it is given up.
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=workplace, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 3, done.stderr
