"""The answers of `/fill-mask`, `/next-sentence` and `/generate`, whatever the model behind them says."""

import pytest

from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app


@pytest.mark.parametrize("sequences", [True, False], ids=["with sequences", "without sequences"])
@asynchronous
async def test_each_mask_gets_a_list_of_predictions(sequences: bool) -> None:
    async with running_app() as (_, client):
        body = (await client.post("/fill-mask", json={"text": "10", "sequences": sequences})).json()
    assert body.pop("usage")["tokens"] == 3
    prediction = {"token": "word", "token_id": 5, "score": 13.0, "start": 0, "end": 3}
    assert body == {
        "predictions": [[{**prediction, "sequence": "word and" if sequences else None}]],
        "model": "fake-fill-mask",
    }


@asynchronous
async def test_a_pair_gets_a_verdict_and_both_scores() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/next-sentence", json={"first": "10", "second": "20"})).json()
    assert body.pop("usage")["windows"] == 1
    assert body == {
        "is_next": True,
        "score": 0.75,
        "scores": {"is_next": 0.75, "not_next": 0.25},
        "model": "fake-next-sentence",
    }


@asynchronous
async def test_a_prompt_gets_its_continuation_and_why_it_ended() -> None:
    async with running_app() as (_, client):
        body = (await client.post("/generate", json={"prompt": "10", "sampling": "top_p", "seed": 3})).json()
    assert body.pop("usage")["windows"] == 1
    assert body == {
        "text": " and more",
        "tokens": [{"token": "and", "token_id": 7}],
        "stop": "length",
        "seed": 3,
        "model": "fake-generate",
    }
