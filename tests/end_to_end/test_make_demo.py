"""What `make demo` makes of a downloaded encoder and its adapters, and what it serves where that cannot be had."""

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.running_server import RunningServer, running_server
from scripts.print_demo_request import TEXT

pytestmark = pytest.mark.integration  # downloads 84 MB, and exports four models

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningServer]:
    folder = tmp_path_factory.mktemp("demo")
    given = [f"REAL_ENCODER={folder}/encoder", f"REAL_FOLDER={folder}/real", f"DEMO_FOLDER={folder}/synthetic"]
    made = subprocess.run(
        ["make", "-j2", *given, "REAL_BUCKETS=64,704", "demo-real-bundles"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stderr
    with running_server(folder / "real", {"BIGBIRD_CPU_PRECISION": "fp32", "BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        yield server


def post(server: RunningServer, task: str, body: dict[str, object]) -> dict[str, object]:
    answer = httpx.post(f"{server.url}/{task}", json=body, timeout=60)
    assert answer.status_code == 200, answer.text
    return dict(answer.json())


def test_each_task_has_one_model_and_the_synthetic_one_is_marked(server: RunningServer) -> None:
    models = httpx.get(f"{server.url}/v1/models", timeout=60).json()["models"]
    assert {model["task"]: model["name"] for model in models} == {
        "classify": "real-topics",
        "embed": "real-embed",
        "ner": "real-ner",
        "qa": "demo-qa",
    }
    assert [model["name"] for model in models if "synthetic" in (model["source"]["note"] or "")] == ["demo-qa"]


def test_names_and_years_are_found_and_no_word_is_cut(server: RunningServer) -> None:
    found = [(one["entity"], one["text"]) for one in post(server, "ner", {"text": TEXT})["entities"]]
    assert ("PER", "Marie Curie") in found and ("LOC", "Warsaw") in found and ("DATE", "1867") in found
    words = {word.strip(".,") for word in TEXT.split()}
    assert {word for _, text in found for word in text.split()} <= words


def test_a_text_has_a_subject_and_a_vector(server: RunningServer) -> None:
    topic = post(server, "classify", {"text": "An integer that only one and itself divide is a prime number."})
    assert topic["label"] == "Mathematics"
    assert len(post(server, "embed", {"text": TEXT})["embedding"]) == 384


def test_without_the_package_the_synthetic_models_are_served_after_one_line(tmp_path: Path) -> None:
    # A make that says what it was to make stands in for the exports and the server.
    (tmp_path / "make").write_text('#!/bin/sh\necho "making $2"\n')
    (tmp_path / "make").chmod(0o755)
    offline = {"PIP_INDEX_URL": "http://127.0.0.1:9/", "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
    # These tests may have been started by a make, which tells others of itself.
    own = {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}
    done = subprocess.run(
        ["make", f"REAL_ENCODER={tmp_path}/encoder", f"MAKE={tmp_path}/make", "demo"],
        cwd=ROOT,
        env={**own, **offline},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "making demo-synthetic\n"
    first, told = done.stderr.splitlines()
    assert first.startswith("downloading ") and told.endswith("no download (`make demo-synthetic`)")
