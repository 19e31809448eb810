"""The commands of docs/finetune.md, as they stand there: from checkpoints without head to models that answer.

Run in a folder of their own; only the port is another one. The first of a kind runs as it is printed, in a process of
its own; the others import nothing again, and share what is traced for equal graphs.
"""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer, running_server
from tests.documented_commands import ROOT, commands, run, run_here

SERVED = "build/finetune/bundles"

# Minutes of training; `make test-integration` runs what takes other programs or long.
pytestmark = pytest.mark.integration


COMMANDS = [list(command.words) for command in commands("finetune.md")]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, shared_traces: None) -> Path:
    """A folder with the examples, in which everything up to the server has been run."""
    folder = tmp_path_factory.mktemp("documented")
    kinds: set[str] = set()
    for command in COMMANDS:
        program, kind = command[:2]
        if program.startswith(".venv/bin/") and kind != "serve":
            (run_here if kind in kinds else run)(command, folder)
            kinds.add(kind)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with contextlib.chdir(folder), running_server(Path(SERVED), {"BIGBIRD_WARM_UP_SECONDS": "0"}) as running:
        yield running


def best(folder: Path, name: str) -> dict[str, float]:
    """The best measurement of a training."""
    lines = (folder / "build" / "finetune" / name / "training" / "curve.jsonl").read_text().splitlines()
    measured: list[dict[str, float]] = [entry for line in lines if "score" in (entry := json.loads(line))]
    return max(measured, key=lambda entry: entry["score"])


# Chance: an answer of 60 words' edges about 0; one of six types 0.17; one of two 0.5; no correlation 0; entities about
# 0; the loss of a uniform guess among 6,000 tokens 8.7.
LEARNED = [
    pytest.param("questions", "f1", 0.4, id="questions of SQuAD v2.0"),
    pytest.param("spans", "f1", 0.4, id="questions of SQuAD v1.1"),
    pytest.param("types", "accuracy", 0.6, id="labels in TSV"),
    pytest.param("answered", "accuracy", 0.6, id="pairs in CSV"),
    pytest.param("numbers", "pearson", 0.2, id="numbers in JSON lines"),
    pytest.param("entities", "entity f1", 0.6, id="entities in CoNLL's columns"),
    pytest.param("language", "score", -7.0, id="plain text"),
]


@pytest.mark.parametrize(("name", "figure", "at_least"), LEARNED)
def test_two_hundred_examples_teach_well_more_than_chance(
    folder: Path, name: str, figure: str, at_least: float
) -> None:
    assert best(folder, name)[figure] >= at_least


def test_everything_that_is_asked_in_the_document_is_answered(server: RunningServer) -> None:
    answers: dict[str, Any] = {}
    for command in COMMANDS:
        if command[0] == "curl":
            url, body = command[2].replace("http://127.0.0.1:8000", server.url), json.loads(command[-1])
            response = httpx.post(url, json=body, timeout=60)
            assert response.status_code == 200, response.text
            answers[body.get("model", url.rsplit("/", 1)[1])] = response.json()
    assert list(answers) == ["questions", "spans", "types", "answered", "numbers", "ner", "fill-mask"]
    assert answers["spans"]["answer"] and "answer" in answers["questions"]
    assert answers["types"]["label"] in ("financial", "incident", "inspection", "legal", "meeting", "research")
    assert answers["answered"]["label"] in ("answered", "unanswered")
    assert answers["numbers"]["labels"][0]["label"] == "score"
    assert {entity["entity"] for entity in answers["ner"]["entities"]} <= {"PER", "ORG", "LOC", "DATE", "MONEY"}
    assert answers["fill-mask"]["predictions"]


def test_the_document_shows_every_file_of_the_examples() -> None:
    named = {word for command in COMMANDS for word in command if word.startswith("examples/finetune/")}
    assert named == {str(file.relative_to(ROOT)) for file in (ROOT / "examples" / "finetune").iterdir()}
    assert {Path(file).suffix for file in named} == {".json", ".tsv", ".csv", ".jsonl", ".conll", ".txt"}
