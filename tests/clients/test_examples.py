"""The examples in examples/clients, run as their page prints it, against a real server that asks for a key."""

import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.running_server import running_server
from service.security.access import key_line
from tests.clients.native_answers import native
from tests.clients.versions import ROOT, versions_tested
from tests.documented_commands import ELSEWHERE, missing_lines
from tests.fake_server import fake_server
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

FOLDER = ROOT / "examples" / "clients"
PAGE = (FOLDER / "README.md").read_text(encoding="utf-8")
COMMANDS = dict(re.findall(r"^\| (\S+) \|.*\| `([^`]+)` \|$", PAGE, re.MULTILINE))
KEY = "a-key"
KEYS = {"BIGBIRD_API_KEYS": key_line("caller", KEY)}
TEXT = (
    "Visitors speak well of Takahashi House, which Diana Bianchi designed. Miareis Station is situated in Casablanca. "
    "Proteins were observed under the microscope."
)
QUERY = "Who surveyed the bridge?"
DOCUMENTS = ["Maria Okafor led the survey of the bridge.", "The court admitted the claim."]


@pytest.fixture(scope="module")
def demo(bundles: Path) -> Iterator[str]:
    with running_server(
        bundles, {**KEYS, "BIGBIRD_CPU_RUNTIME": "onnxruntime", "BIGBIRD_WARM_UP_SECONDS": "0"}
    ) as server:
        yield server.url


@pytest.fixture(scope="module")
def answers(demo: str) -> list[dict[str, Any]]:
    """The native answers to the questions that all ask."""
    question = "Where can Miareis Station be found?"
    return [
        native(demo, "/qa", KEY, question=question, context=TEXT),
        native(demo, "/classify", KEY, text=TEXT, top_k=1),
        native(demo, "/ner", KEY, text=TEXT),
    ]


@pytest.fixture(scope="module")
def folder(node_folder: Path) -> Path:
    """A folder like the project's, in which Node finds the packages."""
    shutil.copytree(FOLDER, node_folder / "examples" / "clients")
    return node_folder


def printed(command: str, url: str, folder: Path, programs: Path | None = None) -> str:
    """Paste a command of the page, with another address, and return what it prints.

    Args:
        command: As it stands there.
        url: The address.
        folder: Where it is run.
        programs: Where Python is; ours by default.
    """
    program = command.split()[0]
    if program != "python":
        find_program(*("node", "nodejs") if program == "node" else ("curl", "curl"))
    path = f"{programs or Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command.replace(ELSEWHERE, url) if ELSEWHERE in command else f"{command} {url}"],
        cwd=folder,
        env={**os.environ, "PATH": path, "BIGBIRD_API_KEY": KEY},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("client", ["requests", "huggingface_hub", "tritonclient", "fetch", "@huggingface/inference"])
def test_an_example_prints_the_native_answers(
    client: str, demo: str, answers: list[dict[str, Any]], folder: Path, other_environment: Path
) -> None:
    found = printed(COMMANDS[client], demo, folder, other_environment if client == "tritonclient" else None)
    answer, labels, entities = answers
    assert found.splitlines() == [
        f"{answer['answer']} at {answer['start']}-{answer['end']}, {answer['score']:.3f}",
        f"{labels['label']}, {labels['score']:.3f}",
        *(f"{one['entity']}: {one['text']} at {one['start']}-{one['end']}" for one in entities["entities"]),
    ]
    (documented,) = re.findall(r"```text\n(.*?)```", PAGE, re.DOTALL)
    assert not list(missing_lines(found, documented))


def test_curl_prints_the_native_answers(demo: str, answers: list[dict[str, Any]], folder: Path) -> None:
    lines = printed(COMMANDS["curl"], demo, folder).splitlines()
    # How long it took is of the one request.
    assert [json.loads(line) | {"usage": None} for line in lines] == [one | {"usage": None} for one in answers]


def test_openai_orders_documents(folder: Path) -> None:
    with fake_server(**KEYS) as url:
        query, *documents = (
            np.array(native(url, "/embed", KEY, text=text)["embedding"]) for text in (QUERY, *DOCUMENTS)
        )
        found = printed(COMMANDS["openai"].replace("MODEL", "fake-embed"), url, folder)
    scores = [float(query @ document) for document in documents]
    ranked = sorted(zip(scores, DOCUMENTS, strict=True), reverse=True)
    assert found.splitlines() == [f"{score:.3f} {text}" for score, text in ranked]


def test_every_example_is_on_the_page_and_run_here() -> None:
    programs = {word for command in COMMANDS.values() for word in command.split() if "/with_" in word}
    assert {ROOT / program for program in programs} == set(FOLDER.glob("with_*"))
    installed = dict(re.findall(r'`(?:pip|npm) install [^`]*?"?([@\w/-]+)(?:\[http\])?(?:==|@)([\d.]+)"?`', PAGE))
    assert installed.items() <= versions_tested().items()
    assert len(installed) == 5
