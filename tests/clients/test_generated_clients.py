"""Clients that are generated from the server's own description: they compile, are readable, and get native answers."""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.security.access import key_line
from tests.clients.native_answers import native
from tests.documented_commands import ELSEWHERE, ROOT, printed
from tests.fake_server import fake_server
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

ASK_IN_PYTHON = Path(__file__).with_name("ask_generated.py")
ASK_IN_TYPESCRIPT = Path(__file__).with_name("ask_generated.mts")
KEY, ADMIN_KEY = "a-key", "operators-key"
COMMANDS = {shlex.split(command)[0]: command for command in printed(ROOT / "docs" / "dialects.md")}
"""What the page tells to generate a client with, by program."""


@pytest.fixture(scope="module")
def locked_server() -> Iterator[str]:
    """A server whose description has everything: keys, too."""
    keys = {"BIGBIRD_API_KEYS": key_line("caller", KEY), "BIGBIRD_ADMIN_KEY": key_line("operator", ADMIN_KEY)}
    with fake_server(**keys) as url:
        yield url


def output_of(*command: str | Path, folder: Path, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_openapi_python_client(locked_server: str, other_environment: Path, tmp_path: Path) -> None:
    # Otherwise ruff mends what it wrote, and breaks its types.
    (tmp_path / "config.yml").write_text("post_hooks: []", encoding="utf-8")
    options = ["--config", "config.yml", "--meta", "none", "--output-path", "generated_client", "--fail-on-warning"]
    program, *generate = shlex.split(COMMANDS["openapi-python-client"].replace(ELSEWHERE, locked_server))
    output_of(other_environment / program, *generate, *options, folder=tmp_path)
    # What has no name of its own is called after its place in a union.
    names = {file.stem for file in (tmp_path / "generated_client").rglob("*.py")}
    assert not [name for name in names if re.search(r"_type_\d|body_body", name)]
    assert {"answer_question", "question_answer_results", "classification_body_function"} <= names

    script = shutil.copy(ASK_IN_PYTHON, tmp_path)
    # It casts where it need not.
    checks = ["--strict", "--no-warn-redundant-casts", "--config-file=", "--cache-dir", os.devnull]
    output_of(sys.executable, "-m", "mypy", *checks, "-p", "generated_client", "-p", "ask_generated", folder=tmp_path)
    *answers, refused = json.loads(
        output_of(sys.executable, script, locked_server, KEY, folder=tmp_path, PYTHONPATH=str(tmp_path))
    )
    own = [
        native(locked_server, "/qa", KEY, question="Who?", context="10 20"),
        native(locked_server, "/classify", KEY, text="10 20", top_k=2),
        *(native(locked_server, "/ner", KEY, text=text) for text in ("10", "20")),
    ]
    # How long it took is of the one request.
    assert [answer | {"usage": None} for answer in answers] == [answer | {"usage": None} for answer in own]
    assert (refused["status"], refused["code"]) == (404, "model_not_found")


def test_openapi_typescript(locked_server: str, node_folder: Path) -> None:
    programs = node_folder / "node_modules" / ".bin"
    shutil.copy(ASK_IN_TYPESCRIPT, node_folder)
    program, *generate = shlex.split(COMMANDS["openapi-typescript"].replace(ELSEWHERE, locked_server))
    output_of(programs / program, *generate, folder=node_folder)
    options = ["--strict", "--target", "es2022", "--module", "es2022", "--moduleResolution", "bundler"]
    output_of(programs / "tsc", *options, "api.d.ts", ASK_IN_TYPESCRIPT.name, folder=node_folder)

    node = find_program("node", package="nodejs")
    answer = json.loads(output_of(node, "ask_generated.mjs", locked_server, KEY, folder=node_folder))
    own = native(locked_server, "/qa", KEY, question="Who?", context="10 20")
    assert answer == [*(own[name] for name in ("answer", "score", "start", "end")), own["usage"]["windows"]]
