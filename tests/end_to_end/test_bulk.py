"""`bigbird batch` on the demo bundles: the server's answers to the last bit, and the commands of docs/bulk.md."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer
from tests.documented_commands import link_environment, missing_lines

pytestmark = pytest.mark.integration  # takes long

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "bulk.md").read_text("utf-8")
LONG = [path.read_text("utf-8") for path in sorted((ROOT / "examples" / "documents").glob("*.txt"))]
# From a few tokens to several windows, with characters of more than one byte and unit.
DOCUMENTS = [*LONG, LONG[1][:300], f"🌉 Zürich. {LONG[2][:4000]}", LONG[0] + LONG[3]]
FIELDS: dict[str, dict[str, Any]] = {
    "qa": {"question": "Who is the managing director?", "top_k": 5, "no_answer": True},
    "classify": {"windows": True},
    "ner": {"aggregation": "first"},
}


@pytest.mark.parametrize("task", FIELDS)
def test_every_answer_is_the_servers_to_the_last_bit(
    tmp_path: Path, bundles: Path, server: RunningServer, task: str
) -> None:
    field = "context" if task == "qa" else "text"
    (tmp_path / "in.jsonl").write_text("".join(json.dumps({field: text}) + "\n" for text in DOCUMENTS))
    options = {
        "qa": ["--question", FIELDS["qa"]["question"], "--top-k", "5", "--no-answer"],
        "classify": ["--windows"],
        "ner": ["--aggregation", "first"],
    }[task]
    command = ["batch", "in.jsonl", "--model", str(bundles / f"demo-{task}"), "--output", "out.jsonl", *options]
    subprocess.run(
        [sys.executable, "-m", "bigbird_cli", *command, "--cpu-runtime", "onnxruntime"],
        cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)}, check=True,
    )  # fmt: skip
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines()]
    assert max(row["usage"]["windows"] for row in rows) > 1
    for text, row in zip(DOCUMENTS, rows, strict=True):
        answer = httpx.post(f"{server.url}/{task}", json={field: text, **FIELDS[task]}, timeout=120).json()
        usage = answer.pop("usage")
        assert row["usage"] == {name: usage[name] for name in row["usage"]}
        del answer["model"]
        assert {name: row[name] for name in answer} == answer


def test_the_commands_of_the_documentation_do_what_it_says(tmp_path: Path, bundles: Path) -> None:
    (tmp_path / "bundles").symlink_to(bundles)
    link_environment(tmp_path)
    blocks = re.findall(r"```(bash|text)\n(.*?)```", PAGE, re.DOTALL)
    printed = ""
    for kind, block in blocks:
        if kind == "text":
            assert not list(missing_lines(printed, block))
            continue
        done = subprocess.run(
            ["sh", "-e", "-c", block], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        printed = done.stdout
    assert [kind for kind, _ in blocks].count("text") == 2
