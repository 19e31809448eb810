"""Triton's own client against the real server, in JSON and in binary; compared with the native answers."""

import json
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import tritonclient.http as triton
from tritonclient.utils import InferenceServerException

from tests.fake_server import fake_server

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with fake_server() as url:
        yield url


@pytest.fixture
def client(server: str) -> Iterator[triton.InferenceServerClient]:
    with triton.InferenceServerClient(server.removeprefix("http://")) as made:
        yield made


def texts(name: str, *values: str, binary: bool) -> triton.InferInput:
    made = triton.InferInput(name, [len(values)], "BYTES")
    made.set_data_from_numpy(np.array([value.encode() for value in values], dtype=np.object_), binary_data=binary)
    return made


def test_the_server_and_a_model_are_described(client: triton.InferenceServerClient) -> None:
    assert client.is_server_live() and client.is_server_ready()
    assert client.is_model_ready("fake-ner") and not client.is_model_ready("other")
    assert client.get_server_metadata()["name"] == "bigbird-serve"
    assert client.get_model_metadata("fake-qa")["inputs"][1]["name"] == "context"


@pytest.mark.parametrize("binary", [False, True], ids=["JSON", "binary"])
def test_answers_are_the_native_ones(server: str, client: triton.InferenceServerClient, binary: bool) -> None:
    words = ("10 Zürich", "20 \U0001f600")
    chosen = [
        triton.InferRequestedOutput(name, binary_data=binary)
        for name in ("entities.text", "entities.score", "entities.start", "json")
    ]
    found = client.infer("fake-ner", [texts("text", *words, binary=binary)], outputs=chosen, model_version="1")
    native = httpx.post(f"{server}/ner", json={"text": list(words)}).json()["results"]
    entities = [result["entities"][0] for result in native]
    as_text = [value.decode() if isinstance(value, bytes) else value for value in found.as_numpy("entities.text")[:, 0]]
    assert as_text == [entity["text"] for entity in entities]
    assert found.as_numpy("entities.score")[:, 0].tolist() == [entity["score"] for entity in entities]
    assert found.as_numpy("entities.start").tolist() == [[entity["start"]] for entity in entities]
    whole = [json.loads(value) for value in found.as_numpy("json")]
    assert [result["entities"] for result in whole] == [result["entities"] for result in native]


def test_everything_comes_back_unless_outputs_are_chosen(client: triton.InferenceServerClient) -> None:
    inputs = [texts("question", "q", binary=True), texts("context", "10", binary=True)]
    found = client.infer("fake-qa", inputs, request_id="7", parameters={"top_k": 2})
    assert found.as_numpy("score").tolist() == [13.0]
    assert found.get_response()["id"] == "7"


def test_errors_are_told(client: triton.InferenceServerClient) -> None:
    with pytest.raises(InferenceServerException, match="there are text"):
        client.infer("fake-ner", [texts("texts", "10", binary=True)])
    with pytest.raises(InferenceServerException, match="no model 'other'"):
        client.infer("other", [texts("text", "10", binary=True)])
