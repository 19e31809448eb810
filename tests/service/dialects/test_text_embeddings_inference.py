"""The forms of Text Embeddings Inference, answered by fakes with a real tokenizer."""

from collections.abc import Mapping
from typing import Any

import pytest

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

LABELS = [{"label": "report", "score": 13.0}, {"label": "invoice", "score": 0.0}]


def only(task: str, tokenizer: Tokenizer | None = None) -> Mapping[str, LoadedModel]:
    model = fake_loaded_model(task)
    model.task.tokenizer = tokenizer  # type: ignore[assignment]
    return {model.name: model}


@pytest.mark.parametrize(
    ("inputs", "answer"),
    [
        pytest.param("10", LABELS, id="a text"),
        pytest.param(["10", "a"], LABELS, id="a pair"),
        pytest.param([["10"], ["10", "a"]], [LABELS, LABELS], id="a list of texts and pairs"),
    ],
)
@asynchronous
async def test_labels_of_one_or_several_texts(inputs: Any, answer: Any) -> None:
    async with running_app(only("classify")) as (_, client):
        response = await client.post("/predict", json={"inputs": inputs, "truncate": True})
    assert response.json() == answer


@asynchronous
async def test_three_texts_are_no_pair() -> None:
    async with running_app(only("classify")) as (_, client):
        response = await client.post("/predict", json={"inputs": ["a", "b", "c"]})
    assert response.status_code == 422
    assert [error["field"] for error in response.json()["errors"]] == ["inputs"]


@asynchronous
async def test_sentences_are_compared() -> None:
    async with running_app(only("embed")) as (_, client):
        response = await client.post("/similarity", json={"inputs": {"source_sentence": "10", "sentences": ["20"]}})
    assert response.json() == [13.0 * 23.0 + 0.25]


@asynchronous
async def test_a_text_comes_back_from_its_tokens(tokenizer: Tokenizer) -> None:
    text = "Zürich and the office 北京"
    async with running_app(only("ner", tokenizer)) as (_, client):
        tokens = (await client.post("/tokenize", json={"inputs": text})).json()[0]
        plain = (await client.post("/tokenize", json={"inputs": [text], "add_special_tokens": False})).json()[0]
        ids = [token["id"] for token in tokens]
        decoded = (await client.post("/decode", json={"ids": ids})).json()
        named = (await client.post("/decode", json={"ids": [ids, ids[1:-1]], "skip_special_tokens": False})).json()
    assert plain == tokens[1:-1]
    assert [(token["id"], token["text"], token["special"], token["start"]) for token in (tokens[0], tokens[-1])] == [
        (tokenizer.cls_id, "[CLS]", True, None),
        (tokenizer.sep_id, "[SEP]", True, None),
    ]
    assert [text[token["start"] : token["stop"]] for token in plain] == [token["text"] for token in plain]
    assert ids[1:-1] == tokenizer.tokenize(text).ids.tolist()
    assert decoded == [text]
    assert named == [f"[CLS] {text} [SEP]", text]


@asynchronous
async def test_ids_that_are_no_tokens_are_refused(tokenizer: Tokenizer) -> None:
    async with running_app(only("ner", tokenizer)) as (_, client):
        beyond = await client.post("/decode", json={"ids": [10**6]})
        below = await client.post("/decode", json={"ids": [-1]})
        many = await client.post("/decode", json={"ids": [1] * 16_385})
    assert [response.status_code for response in (beyond, below, many)] == [422] * 3


@asynchronous
async def test_what_needs_no_run_has_the_limits_of_what_does(tokenizer: Tokenizer) -> None:
    body = {"inputs": ["the office of Acme"] * 3, "model": "fake-ner"}
    async with running_app(only("ner", tokenizer), max_answer_bytes=1000) as (app, client):
        large = await client.post("/tokenize", json=body)
        small = await client.post("/tokenize", json={**body, "inputs": "Acme"})
        app.state.serving.shutdown.drain()
        late = await client.post("/tokenize", json=body)
    assert (large.status_code, large.json()["code"]) == (422, "answer_too_large")
    assert (small.status_code, small.headers["x-model-revision"]) == (200, "0123456789ab")
    assert (late.status_code, late.json()["code"]) == (503, "draining")


@asynchronous
async def test_the_only_model_is_described() -> None:
    async with running_app(only("classify")) as (_, client):
        told = (await client.get("/info")).json()
    assert (told["model_id"], told["max_input_length"], told["auto_truncate"]) == ("fake-classify", 16, False)
    assert told["model_type"] == {
        "classifier": {"id2label": {"0": "invoice", "1": "report"}, "label2id": {"invoice": 0, "report": 1}}
    }


@asynchronous
async def test_one_of_several_models_must_be_named() -> None:
    async with running_app() as (_, client):
        unnamed = await client.get("/info")
        named = await client.get("/info", params={"model": "fake-embed"})
    assert unnamed.status_code == 422
    assert named.json()["model_type"] == {"embedding": {"pooling": "mean"}}
