"""`@huggingface/inference` as its users call it, in node: against the real server, compared with native answers."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.clients.native_answers import native
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

ASK = Path(__file__).with_name("ask_huggingface.mjs")


@pytest.fixture(scope="module")
def found(server: str, node_folder: Path) -> dict[str, Any]:
    """What the script got; Node looks for packages from where the script lies."""
    script = shutil.copy(ASK, node_folder)
    node = find_program("node", package="nodejs")
    done = subprocess.run([node, script, server], capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)  # type: ignore[no-any-return]


@pytest.mark.parametrize("asked", ["questionAnswering", "byModel"])
def test_questions(server: str, found: dict[str, Any], asked: str) -> None:
    own = native(server, "/qa", question="Who?", context="10 20")
    assert found[asked] == {name: own[name] for name in ("answer", "score", "start", "end")}


def test_labels(server: str, found: dict[str, Any]) -> None:
    assert found["textClassification"] == native(server, "/classify", text="10 20", top_k=2)["labels"]
    assert len(found["textClassification"]) == 2


def test_entities_count_code_points(server: str, found: dict[str, Any]) -> None:
    own = native(server, "/ner", text="10 \U0001f600 20")["entities"]
    names = {"entity_group": "entity", "word": "text", "start": "start", "end": "end", "score": "score"}
    assert found["tokenClassification"] == [{name: one[native] for name, native in names.items()} for one in own]


def test_masks(server: str, found: dict[str, Any]) -> None:
    (own,) = native(server, "/fill-mask", text="10 [MASK]", top_k=2)["predictions"]
    names = {"token_str": "token", "token": "token_id", "score": "score", "sequence": "sequence"}
    assert found["fillMask"] == [{name: one[native] for name, native in names.items()} for one in own]


def test_vectors(server: str, found: dict[str, Any]) -> None:
    first, second, third = (native(server, "/embed", text=text)["embedding"] for text in ("10", "20", "30"))
    assert found["featureExtraction"] == [first]
    assert found["featuresOfSeveral"] == [first, second]
    assert found["sentenceSimilarity"] == [float(np.array(first) @ np.array(other)) for other in (second, third)]


@pytest.mark.parametrize(
    ("asked", "status", "code", "message"),
    [
        ("refused", 422, "invalid_request", "parameters.align_to_words: Value error, Input should be False"),
        ("unknown", 404, "model_not_found", "no model 'other'"),
    ],
)
def test_a_refusal_is_told(found: dict[str, Any], asked: str, status: int, code: str, message: str) -> None:
    told = found[asked]
    assert (told["status"], told["code"]) == (status, code)
    assert message in told["message"]
