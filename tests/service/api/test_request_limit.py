"""What is under way is bounded: in number, and in bytes that were read and not yet answered."""

import asyncio
import gc

import httpx
import pytest

from service.api import request_limit
from service.telemetry.request_record import RequestRecord
from tests.fake_model import fake_loaded_model
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import running_app


def refused(response: httpx.Response) -> bool:
    assert response.status_code in (200, 429)
    if response.status_code == 200:
        return False
    assert response.json()["code"] == "too_many_requests"
    assert response.headers["retry-after"] == "1"
    return True


@asynchronous
async def test_429_too_many_requests_and_probes_pass() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, max_requests=2) as (app, client):
        first, second = (asyncio.create_task(client.post("/ner", json={"text": "10"})) for _ in range(2))
        await asyncio.to_thread(gate.reached.wait)
        while app.state.serving.metrics.registry.get_sample_value("bigbird_requests_in_flight") != 2:
            await asyncio.sleep(0)
        assert refused(await client.post("/ner", json={"text": "10"}))
        assert refused(await client.get("/v1/models"))
        for probe in ("/health/live", "/health/ready", "/metrics"):
            assert (await client.get(probe)).status_code == 200
        gate.opened.set()
        assert not refused(await first) and not refused(await second)
        assert not refused(await client.post("/ner", json={"text": "10"}))
        registry = app.state.serving.metrics.registry
        reason = {"reason": "too_many_requests"}
        assert registry.get_sample_value("bigbird_refused_requests_total", reason) == 2
        labels = {"endpoint": "/ner", "model": "", "status": "429"}
        assert registry.get_sample_value("bigbird_requests_total", labels) == 1


@asynchronous
async def test_beyond_the_most_bytes_a_body_is_not_kept_and_what_it_took_is_given_back() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, max_requests_bytes=100) as (_, client):
        held = asyncio.create_task(client.post("/ner", json={"text": "10 " * 4}))
        await asyncio.to_thread(gate.reached.wait)
        large = {"text": "10 " * 25}
        assert [refused(await client.post("/ner", json=large)) for _ in range(3)] == [True] * 3
        small = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        gate.opened.set()
        assert not refused(await held) and not refused(await small)
        # The fake model takes 16 tokens, so what is let in fails otherwise.
        assert (await client.post("/ner", json={"text": "10", "threshold": 0.5})).status_code == 200
        assert (
            await client.post("/ner", content=b"{" * 90, headers={"content-type": "application/json"})
        ).status_code == 400


@asynchronous
async def test_a_body_beyond_its_own_limit_is_413_and_leaves_nothing_behind() -> None:
    async with running_app(max_body_bytes=50, max_requests_bytes=100) as (_, client):
        for _ in range(5):
            assert (await client.post("/ner", json={"text": "1" * 200})).status_code == 413
        assert (await client.post("/ner", json={"text": "10"})).status_code == 200


@asynchronous
async def test_429_while_large_answers_are_not_read_and_small_ones_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request_limit, "_SMALL_ANSWER_BYTES", 1000)
    large, small = ({"text": ["10"] * count} for count in (8, 1))  # of some 230 bytes each
    answered, reading = asyncio.Event(), asyncio.Event()

    class Unread(Connection):
        async def serve(self, app: object) -> None:
            async def send(message: dict[str, object]) -> None:
                answered.set()
                await reading.wait()
                self.sent.append(message)

            await app(self.scope, self.incoming.get, send)  # type: ignore[operator]

    async with running_app(max_answers_bytes=1500, max_list_items=8) as (app, client):
        connection = Unread("/ner", large)
        unread = asyncio.create_task(connection.serve(app))
        await answered.wait()
        assert refused(await client.post("/ner", json=large))
        assert not refused(await client.post("/ner", json=small))
        reading.set()
        await unread
        assert connection.sent[0]["status"] == 200
        for _ in range(3):
            assert not refused(await client.post("/ner", json=large))


def kept_records() -> list[RequestRecord]:
    # `isinstance` would ask every object of other libraries, and some of them warn then.
    return [found for found in gc.get_objects() if type(found) is RequestRecord]


@asynchronous
async def test_an_answered_request_leaves_nothing_to_the_garbage_collector() -> None:
    model = fake_loaded_model("ner")
    async with running_app({model.name: model}) as (_, client):
        gc.collect()
        before = len(kept_records())
        gc.disable()
        try:
            assert not refused(await client.post("/ner", json={"text": "10"}))
            await asyncio.sleep(0)  # its tasks end
            assert len(kept_records()) == before
        finally:
            gc.enable()
