"""A client that closes the connection takes its work with it."""

import asyncio
import json
from typing import Any

from tests.fake_model import fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import running_app


class Connection:
    """The server's side of one HTTP request, driven by the test."""

    def __init__(self, path: str, body: dict[str, Any], *, more_body: bool = False) -> None:
        self.incoming: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.incoming.put_nowait({"type": "http.request", "body": json.dumps(body).encode(), "more_body": more_body})
        self.sent: list[dict[str, Any]] = []
        self.scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "headers": [(b"content-type", b"application/json")],
            "server": ("test", 80),
            "client": ("test", 1),
        }

    def close(self) -> None:
        self.incoming.put_nowait({"type": "http.disconnect"})

    async def serve(self, app: Any) -> None:
        async def send(message: dict[str, Any]) -> None:
            self.sent.append(message)

        await app(self.scope, self.incoming.get, send)


def counted(app: Any, name: str, **labels: str) -> float | None:
    value: float | None = app.state.serving.metrics.registry.get_sample_value(name, labels)
    return value


@asynchronous
async def test_a_client_that_leaves_while_waiting_is_counted_and_its_windows_are_not_run() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}) as (app, client):
        running = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        await asyncio.to_thread(gate.reached.wait)
        gone = Connection("/ner", {"text": "20 " * 30})
        serving = asyncio.create_task(gone.serve(app))
        while app.state.serving.scheduler.waiting_items("fake-ner", 8) == 0:
            await asyncio.sleep(0)
        gone.close()
        await serving
        assert app.state.serving.scheduler.waiting_items("fake-ner", 8) == 0
        gate.opened.set()
        assert (await running).status_code == 200
    assert gone.sent[0]["status"] == 499
    assert not any((batch.input_ids == 20).any() for batch in gate.session.batches)
    assert counted(app, "bigbird_requests_total", endpoint="/ner", model="fake-ner", status="499") == 1
    assert counted(app, "bigbird_dropped_windows_total", model="fake-ner", bucket="8", reason="cancelled") == 5


@asynchronous
async def test_a_run_whose_clients_have_all_gone_is_ended_and_counted() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    labels = {"model": "fake-ner", "bucket": "8"}
    async with running_app({model.name: model}) as (app, client):
        gone = Connection("/ner", {"text": "10"})
        serving = asyncio.create_task(gone.serve(app))
        await asyncio.to_thread(gate.reached.wait)
        gone.close()
        await serving
        gate.opened.set()
        assert (await client.post("/ner", json={"text": "20"})).status_code == 200
        assert counted(app, "bigbird_terminated_runs_total", **labels) == 1
        assert counted(app, "bigbird_batch_duration_seconds_count", **labels) == 1
    assert gone.sent[0]["status"] == 499


@asynchronous
async def test_a_client_that_leaves_while_sending_is_counted() -> None:
    async with running_app() as (app, _):
        gone = Connection("/ner", {"text": "10"}, more_body=True)
        gone.close()
        await gone.serve(app)
        assert gone.sent[0]["status"] == 499
        assert counted(app, "bigbird_requests_total", endpoint="/ner", model="", status="499") == 1
