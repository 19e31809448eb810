"""Both forms of reranking, asked of a fake classifier with a real tokenizer.

Its logits are the sum of a row's ids, and 0; so the label `invoice` has the sum, and `report` 0.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

TEXTS = ["Paris", "the office of Acme", "the office for finance is in Paris, and Carol Stone works there"]


def classifier(tokenizer: Tokenizer, problem_type: str | None = None) -> Mapping[str, LoadedModel]:
    model = fake_loaded_model("classify")
    model = replace(model, manifest=replace(model.manifest, problem_type=problem_type))
    model.task.tokenizer = tokenizer
    return {model.name: model}


def sums(tokenizer: Tokenizer, query: str, text: str) -> list[float]:
    """Return the sum of the ids of each window of 16 tokens: [CLS] query [SEP] text [SEP]."""
    first = tokenizer.tokenize(query).ids.tolist()
    ids = tokenizer.tokenize(text).ids.tolist()
    room = 16 - len(first) - 3
    step = room - room // 2
    starts = range(0, max(1, len(ids) - room // 2), step)
    around = tokenizer.cls_id + 2 * tokenizer.sep_id + sum(first)
    return [float(around + sum(ids[start : start + room])) for start in starts]


@asynchronous
async def test_texts_come_back_best_first_with_the_score_of_their_best_window(tokenizer: Tokenizer) -> None:
    body = {"query": "Who", "texts": TEXTS, "label": "invoice", "raw_scores": True, "return_text": True}
    async with running_app(classifier(tokenizer)) as (_, client):
        response = await client.post("/rerank", json=body)
    assert response.status_code == 200, response.text
    scores = {text: max(sums(tokenizer, "Who", text)) for text in TEXTS}
    assert len(sums(tokenizer, "Who", TEXTS[2])) > 1
    expected = sorted(TEXTS, key=lambda text: -scores[text])
    assert response.json() == [{"index": TEXTS.index(text), "score": scores[text], "text": text} for text in expected]
    assert int(response.headers["x-windows"]) == sum(len(sums(tokenizer, "Who", text)) for text in TEXTS)


@asynchronous
async def test_documents_come_back_as_cohere_and_jina_give_them(tokenizer: Tokenizer) -> None:
    body = {
        "model": "fake-classify",
        "query": "Who",
        "documents": [TEXTS[0], {"text": TEXTS[1]}, TEXTS[2]],
        "label": "invoice",
        "top_n": 2,
        "return_documents": True,
    }
    # A regression's scores are its logits.
    async with running_app(classifier(tokenizer, problem_type="regression")) as (_, client):
        response = await client.post("/v1/rerank", json=body)
    answer = response.json()
    windows = [sums(tokenizer, "Who", text) for text in TEXTS]
    scores = [max(own) for own in windows]
    best = sorted(range(3), key=lambda index: -scores[index])[:2]
    assert best != [0, 1]
    assert answer["results"] == [
        {"index": index, "relevance_score": scores[index], "document": {"text": TEXTS[index]}} for index in best
    ]
    assert (answer["id"], answer["model"]) == (response.headers["x-request-id"], "fake-classify")
    assert answer["usage"]["windows"] == sum(map(len, windows))
    assert answer["usage"]["truncated_tokens"] == 0


@asynchronous
async def test_the_label_of_the_settings_is_meant_where_a_request_names_none(tokenizer: Tokenizer) -> None:
    body = {"query": "Who", "texts": TEXTS[:1], "raw_scores": True}
    async with running_app(classifier(tokenizer), rerank_label="invoice") as (_, client):
        response = await client.post("/rerank", json=body)
        other = await client.post("/rerank", json={**body, "label": "report"})
    assert response.json() == [{"index": 0, "score": max(sums(tokenizer, "Who", TEXTS[0]))}]
    assert other.json()[0]["score"] == 0


@pytest.mark.parametrize(
    ("path", "fields", "status", "told"),
    [
        pytest.param("/rerank", {"texts": TEXTS}, 422, "label is needed", id="no label where there are several"),
        pytest.param("/rerank", {"texts": TEXTS, "label": "x"}, 422, "invoice, report", id="no such label"),
        pytest.param("/v2/rerank", {"documents": [" "], "label": "invoice"}, 422, "documents is", id="an empty one"),
        pytest.param("/rerank", {"texts": []}, 422, "texts", id="no texts"),
        pytest.param(
            "/rerank", {"texts": TEXTS, "truncation_direction": "left"}, 422, "truncation_direction", id="cut"
        ),
        pytest.param("/v1/rerank", {"documents": [{"image": "x"}]}, 422, "documents[0].text", id="no text"),
        pytest.param("/v1/rerank", {"documents": TEXTS, "model": "other"}, 404, "'other'", id="no such model"),
        pytest.param("/v1/rerank", {"documents": TEXTS * 100}, 413, "documents has 300 items", id="too many"),
    ],
)
@asynchronous
async def test_what_cannot_be_done_is_refused(
    path: str, fields: dict[str, Any], status: int, told: str, tokenizer: Tokenizer
) -> None:
    async with running_app(classifier(tokenizer)) as (_, client):
        response = await client.post(path, json={"query": "Who", **fields})
    assert response.status_code == status
    error = response.json()["error"]
    message: str = error["message"] if path.startswith("/v1") else error
    assert told in message
    assert "Item" not in message or "documents" in message, "what is wrong with all is said of none"
