"""OpenAI's forms of embeddings and of the list of models, answered by fakes; by hand."""

import base64

import numpy as np
import pytest

from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app


@asynchronous
async def test_texts_become_vectors_in_their_order() -> None:
    async with running_app() as (_, client):
        response = await client.post("/v1/embeddings", json={"model": "fake-embed", "input": ["10", "20"]})
    assert response.json() == {
        "object": "list",
        "data": [
            {"object": "embedding", "index": 0, "embedding": [13.0, 0.5]},
            {"object": "embedding", "index": 1, "embedding": [23.0, 0.5]},
        ],
        "model": "fake-embed",
        "usage": {"prompt_tokens": 6, "total_tokens": 6},
    }


@asynchronous
async def test_base64_holds_little_endian_float32() -> None:
    body = {"model": "fake-embed", "input": "10", "encoding_format": "base64", "dimensions": 8, "user": "somebody"}
    async with running_app() as (app, client):
        body["dimensions"] = app.state.serving.models["fake-embed"].manifest.model["hidden_size"]
        response = await client.post("/v1/embeddings", json=body)
    (entry,) = response.json()["data"]
    assert np.frombuffer(base64.b64decode(entry["embedding"]), "<f4").tolist() == [13.0, 0.5]


@pytest.mark.parametrize(
    ("fields", "status", "told"),
    [
        pytest.param({"input": [1, 2]}, 422, "input[0]", id="tokens"),
        pytest.param({"input": [[1, 2]]}, 422, "input[0]", id="lists of tokens"),
        pytest.param({"dimensions": 3}, 422, "dimensions is 3", id="fewer dimensions"),
        pytest.param({"encoding_format": "hex"}, 422, "encoding_format", id="another format"),
        pytest.param({"model": "other"}, 404, "no model 'other'", id="no such model"),
        pytest.param({"model": "fake-ner"}, 404, "serves /ner", id="a model of another task"),
    ],
)
@asynchronous
async def test_what_cannot_be_done_is_refused(fields: dict[str, object], status: int, told: str) -> None:
    async with running_app() as (_, client):
        response = await client.post("/v1/embeddings", json={"model": "fake-embed", "input": "10", **fields})
    assert response.status_code == status
    assert told in response.json()["error"]["message"]


@asynchronous
async def test_models_are_listed_as_openai_lists_them_beside_our_own_form() -> None:
    async with running_app() as (_, client):
        listed = (await client.get("/v1/models")).json()
        one = (await client.get("/v1/models/fake-ner")).json()
        none = await client.get("/v1/models/other")
    assert listed["object"] == "list"
    assert [entry["id"] for entry in listed["data"]] == [model["name"] for model in listed["models"]]
    entry = {"id": "fake-ner", "object": "model", "created": 0, "owned_by": "bigbird-serve"}
    assert entry in listed["data"]
    own = next(model for model in listed["models"] if model["name"] == "fake-ner")
    assert one == {**own, **entry}
    assert none.status_code == 404
