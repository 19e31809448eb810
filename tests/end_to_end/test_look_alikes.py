"""Look-alikes of public checkpoints the whole way: from a local hub to a bundle, to a server, to figures.

The export and the comparison with transformers are those of `scripts.check_public_checkpoints`.
"""

import contextlib
import json
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.running_server import RunningServer, running_command, running_server
from bigbird_inference.bundle import open_bundle
from bigbird_inference.tokenization.tokenizer import Tokenizer
from scripts.check_public_checkpoints import their_tokenizer
from scripts.public_checkpoints import PublicCheckpoint
from tests.documented_commands import ROOT, link_environment, printed, run_here
from tests.model_export.checkpoints.hub_server import HubServer, Repository, environment
from tests.model_export.look_alikes import SHAPES, LookAlike

pytestmark = pytest.mark.integration  # takes long

TEXT = "Alice Smith leads the project (ACME) in New York, said 사람은 누구입니까, ATGGCGTACGCTTG."
BODIES: Mapping[str, dict[str, Any]] = {
    "qa": {"question": "Who leads it?", "context": TEXT},
    "classify": {"text": TEXT},
    "ner": {"text": TEXT, "aggregation": "none"},
    "fill-mask": {"text": "Alice leads [MASK]."},
    "embed": {"text": TEXT},
    "multiple-choice": {"prompt": "Who leads it?", "choices": ["Alice", "Bob"]},
    "generate": {"prompt": "Alice leads", "max_new_tokens": 3},
}


PARTS = [
    *("Alice", "Smith", "leads", "project", "2.5", "million", "naïve", "cafe\u0301", "½", "ﬁnance", "x²", "—", "don’t"),
    *(
        "서울에서",
        "사람은",
        "누구",
        "입니까?",
        "北京",
        "東京大学",
        "ﾊﾝｶｸ",
        "ATGGCGTACGCTTGANNN",
        "🙂",
        "\u200b",
        "\u00ad",
    ),
    *("", " ", "\t", "\n", "\u3000", "(", ")", "#", "##s", "_", "\u2581", "a" * 40, "I\u0307", "ß", "\U0001f468\u200d"),
]


def parameters(*tasks: str) -> list[Any]:
    return [
        pytest.param(shape, id=f"{shape.make.__name__}, like {shape.like}") for shape in SHAPES if shape.task in tasks
    ]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folders = {}
    for shape in SHAPES:
        folders[shape.like] = tmp_path_factory.mktemp(shape.make.__name__)
        shape.make(folders[shape.like])
    return folders


@pytest.fixture(scope="module")
def hub(made: Mapping[str, Path]) -> Iterator[HubServer]:
    with HubServer({like: Repository.of(folder) for like, folder in made.items()}) as hub:
        yield hub


@pytest.fixture(scope="module")
def checked(hub: HubServer, run_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    """The folder of the bundles, and the line of the table about each."""
    folder = tmp_path_factory.mktemp("checked")
    entries = (
        f"[[checkpoint]]\nid = {json.dumps(shape.like)}\ntask = {json.dumps(shape.task)}\nsources = []\n"
        f"options = {json.dumps(shape.options)}\n"
        for shape in SHAPES
    )
    (folder / "list.toml").write_text("".join(entries))
    command = [sys.executable, "-m", "tests.model_export.run_sharing_traces", str(run_folder / "traces")]
    options = ["--list", str(folder / "list.toml"), "--folder", str(folder / "bundles"), "--buckets", "every:112"]
    done = subprocess.run(
        [*command, "scripts.check_public_checkpoints", *options],
        cwd=ROOT,
        env=environment(hub.url, folder / "cache"),
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    lines = done.stdout.splitlines()[2:]
    return folder / "bundles", {line.split("|")[1].strip(): line for line in lines}


@pytest.fixture(scope="module")
def server(checked: tuple[Path, dict[str, str]]) -> Iterator[RunningServer]:
    with running_server(checked[0], {"BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        yield server


@pytest.mark.parametrize("shape", parameters(*BODIES))
def test_a_bundle_has_the_logits_and_ids_that_the_checkpoint_has(
    checked: tuple[Path, dict[str, str]], shape: LookAlike
) -> None:
    assert checked[1][shape.like].startswith(f"| {shape.like} | same |"), checked[1][shape.like]


@pytest.mark.parametrize("shape", parameters(*BODIES))
def test_a_bundle_has_the_ids_of_its_own_tokenizer_for_many_strings(
    checked: tuple[Path, dict[str, str]], made: Mapping[str, Path], shape: LookAlike
) -> None:
    tokenizer = Tokenizer.from_bundle(open_bundle(checked[0] / _name(shape)))
    given = dict(zip(shape.options[::2], shape.options[1::2], strict=True))
    encode = their_tokenizer(made[given.get("--tokenizer", shape.like)])
    # Others for each: many of them have the same kind of vocabulary.
    random = np.random.default_rng(SHAPES.index(shape))
    # Neither control pieces, which are text here, nor blanks at the ends.
    strings = [" ".join(random.choice(PARTS, random.integers(1, 12))).strip() for _ in range(5_000)]
    assert not [one for one in strings if tokenizer.tokenize_without_positions(one).ids.tolist() != encode(one)]


@pytest.mark.parametrize("shape", parameters(*BODIES))
def test_a_bundle_is_served(server: RunningServer, shape: LookAlike) -> None:
    response = httpx.post(f"{server.url}/{shape.task}", json={**BODIES[shape.task], "model": _name(shape)}, timeout=60)
    assert response.status_code == 200, response.text
    answer = response.json()
    assert answer["usage"]["truncated_tokens"] == 0
    spans = [answer] if shape.task == "qa" else answer.get("entities", [])
    for span in spans:
        assert TEXT[span["start"] : span["end"]] == span.get("answer", span.get("text"))


@pytest.mark.parametrize("shape", parameters("qa", "classify", "ner"))
def test_a_bundle_is_evaluated(checked: tuple[Path, dict[str, str]], shape: LookAlike, tmp_path: Path) -> None:
    bundle = checked[0] / _name(shape)
    labels = open_bundle(bundle).manifest.labels
    contents = {
        "qa": ("q.jsonl", json.dumps({"id": "1", **BODIES["qa"], "answers": {"text": ["Alice"], "answer_start": [0]}})),
        "classify": ("c.csv", f"text,label\nAlice leads,{labels[0]}\n" if labels else ""),
        "ner": ("n.conll", f"Alice {labels[1]}\nleads O\n" if labels else ""),
    }
    name, content = contents[shape.task]
    (tmp_path / name).write_text(content + "\n")
    said = run_here([".venv/bin/bigbird", "evaluate", str(bundle), "--task", shape.task, "--data", name], tmp_path)
    assert re.search(r"^\| all \| 1 \|", said, re.MULTILINE)


def test_the_lines_of_the_readme_serve_two_of_them(hub: HubServer, tmp_path: Path) -> None:
    link_environment(tmp_path)
    lines = printed(ROOT / "README.md")
    first = next(number for number, line in enumerate(lines) if "export google/" in line)
    question, names, serve = lines[first : first + 3]
    own = {**environment(hub.url, tmp_path / "cache"), "PYTHONPATH": str(ROOT), "BIGBIRD_WARM_UP_SECONDS": "0"}
    for line in (question, names):
        subprocess.run(shlex.split(line), cwd=tmp_path, env=own, check=True)
    program, *options = shlex.split(serve)
    with contextlib.chdir(tmp_path), running_command([program, *options, "--port", "0"], own) as server:
        for task in ("qa", "ner"):
            assert httpx.post(f"{server.url}/{task}", json=BODIES[task], timeout=60).status_code == 200


def _name(shape: LookAlike) -> str:
    return PublicCheckpoint(shape.like, shape.task, ()).name
