"""A request that is too large is refused at the document that makes it so, and the others are not tokenised."""

import threading
from typing import Any

import pytest

from bigbird_inference.manifest import Manifest
from tests.fake_model import FakeTask, fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

# Each of three tokens, [CLS] and [SEP] among them.
DOCUMENTS = ["10"] * 100


class CountingTask(FakeTask):
    """Counts the documents that it has tokenised."""

    encoded = 0

    def encode(self, request: Any) -> Any:
        self.encoded += 1
        return super().encode(request)


@pytest.mark.parametrize(
    ("settings", "most"),
    [
        pytest.param({"max_queued_tokens": 30}, 10, id="by its tokens"),
        pytest.param(
            {"max_queued_items": 128, "max_list_items": 200}, 100, id="not by its windows, which are few enough"
        ),
    ],
)
@asynchronous
async def test_the_work_stops_at_the_document_that_is_too_much(settings: dict[str, int], most: int) -> None:
    model = fake_loaded_model("ner")
    task = CountingTask(model.manifest)
    object.__setattr__(model, "task", task)
    async with running_app({"fake-ner": model}, **settings) as (app, client):
        answer = await client.post("/ner", json={"text": DOCUMENTS})
        # A thread for each core may have begun one more.
        assert task.encoded <= most + 16
        assert answer.status_code == (413 if most < len(DOCUMENTS) else 200)
        # Nothing is kept of it.
        assert (await client.post("/ner", json={"text": ["10"] * 5})).status_code == 200
        assert app.state.serving.scheduler._admission._expected_tokens == 0


class SlowFirstTask(CountingTask):
    """Does not end with the first document before it may."""

    def __init__(self, manifest: Manifest) -> None:
        super().__init__(manifest)
        self.may_end = threading.Event()

    def encode(self, request: Any) -> Any:
        if request.text == "11":
            self.may_end.wait(60)
        return super().encode(request)


@asynchronous
async def test_the_refusal_does_not_wait_for_a_document_before() -> None:
    model = fake_loaded_model("ner")
    task = SlowFirstTask(model.manifest)
    object.__setattr__(model, "task", task)
    async with running_app({"fake-ner": model}, max_queued_tokens=30) as (_, client):
        answer = await client.post("/ner", json={"text": ["11", *DOCUMENTS]})
        assert not task.may_end.is_set()
        task.may_end.set()
        assert answer.status_code == 413
        assert task.encoded <= 10 + 16
