"""The log of a running application: one line for each request, and no text of anybody in it."""

import asyncio
import logging
from dataclasses import replace
from typing import Any

import pytest

from service.settings import LogFormat
from tests.fake_model import POISON, FakeSession, FakeTask, fake_loaded_model, fake_manifest
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import fake_models, running_app
from tests.service.telemetry.captured_logs import captured_log

CANARY = "kanarienvogel"
STAGES = ("parse", "tokenise", "queue", "collate", "inference", "decode", "respond")


@asynchronous
async def test_a_request_has_one_line_with_what_it_was_what_it_cost_and_where_its_time_went() -> None:
    with captured_log() as log:
        async with running_app() as (_, client):
            await client.post("/ner", json={"text": ["10 20", "10 " * 13]}, headers={"x-request-id": "order-17"})
    (line,) = log.requests
    stages = [line.pop(f"{stage}_ms") for stage in STAGES]
    assert sum(stages) == pytest.approx(line.pop("duration_ms"), abs=0.01)  # each is rounded to a microsecond
    assert line.pop("time")
    assert line == {
        "level": "info",
        "logger": "service.api.request_context",
        "message": "POST /ner 200",
        "request_id": "order-17",
        "method": "POST",
        "endpoint": "/ner",
        "dialect": "native",
        "model": "fake-ner",
        "status": 200,
        "items": 2,
        "windows": 4,
        "tokens": 4 + 8 + 8 + 3,
        "buckets": [8],
    }


@asynchronous
async def test_a_refused_request_says_why_and_a_request_for_nothing_names_no_path() -> None:
    with captured_log() as log:
        async with running_app() as (app, client):
            await client.get("/wp-login.php")
            app.state.serving.shutdown.drain()
            await client.post("/ner", json={"text": "10"})
    unmatched, refused = log.requests
    assert (unmatched["message"], unmatched["endpoint"]) == ("GET unmatched 404", "unmatched")
    assert (refused["message"], refused["refused"], refused["model"]) == ("POST /ner 503", "draining", "fake-ner")
    assert "windows" not in refused and "queue_ms" not in refused


@asynchronous
async def test_what_machines_ask_every_few_seconds_is_logged_for_debugging_only() -> None:
    with captured_log() as quiet, captured_log(level=logging.DEBUG) as debug:
        async with running_app() as (_, client):
            for path in ("/health/live", "/health/ready", "/metrics"):
                await client.get(path)
    assert [line["endpoint"] for line in debug.requests] == ["/health/live", "/health/ready", "/metrics"]
    assert all(line["level"] == "debug" for line in debug.requests)
    assert [line for line in quiet.requests if line["level"] != "debug"] == []


@asynchronous
async def test_a_client_that_left_has_a_line_with_the_stages_it_passed() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    with captured_log() as log:
        async with running_app({model.name: model}) as (app, client):
            running = asyncio.create_task(client.post("/ner", json={"text": "10"}))
            await asyncio.to_thread(gate.reached.wait)
            gone = Connection("/ner", {"text": "20 20"})
            serving = asyncio.create_task(gone.serve(app))
            while app.state.serving.scheduler.waiting_items("fake-ner", 8) == 0:
                await asyncio.sleep(0)
            gone.close()
            await serving
            gate.opened.set()
            await running
    line = log.requests[0]
    assert (line["status"], line["windows"], line["tokens"], line["buckets"]) == (499, 1, 4, [8])
    assert "parse_ms" in line and "tokenise_ms" in line and "queue_ms" not in line


class QuotingTask(FakeTask):
    """Its failures quote the text, as failures of any library may."""

    def encode(self, request: Any) -> Any:
        if "bad encoding" in request.text:
            try:
                raise KeyError(request.text)
            except KeyError as error:
                raise RuntimeError(f"cannot encode {request.text}") from error
        return super().encode(request)

    def decode(self, encoded: Any, outputs: Any) -> Any:
        if "bad decoding" in encoded.request.text:
            raise ValueError(f"cannot decode {encoded.request.text}")
        return super().decode(encoded, outputs)


@pytest.mark.parametrize("log_format", ["json", "text"])
@asynchronous
async def test_no_text_key_or_header_of_a_client_reaches_the_log(log_format: LogFormat) -> None:
    models = fake_models()
    models["fake-ner"] = replace(models["fake-ner"], task=QuotingTask(fake_manifest("ner")))
    poisoned = {"text": f"{CANARY} {POISON}"}
    with captured_log(log_format, logging.DEBUG) as log:
        async with running_app(models, max_body_bytes=100_000) as (app, client):
            for body in (
                {"text": CANARY},
                {"text": [CANARY, f"{CANARY} bad encoding"]},
                {"text": f"{CANARY} bad decoding"},
                poisoned,
                {"text": f"{CANARY} " * 90_000},
                {"text": f"{CANARY} " * 5_000},
                {"text": "10", "model": CANARY},
                {"text": "10", CANARY: CANARY},
                {"text": "10", "aggregation": CANARY},
                {CANARY: [CANARY]},
            ):
                await client.post("/ner", json=body)
            await client.post("/qa", json={"question": CANARY, "context": f"{CANARY} {POISON}"})
            await client.post("/ner", content=f'{{"text": "{CANARY}', headers={"content-type": "application/json"})
            await client.get(f"/{CANARY}?{CANARY}={CANARY}")
            await client.request(CANARY.upper(), "/ner", headers={"content-type": CANARY})
            headers = {"x-request-id": f"{CANARY} {CANARY}", "authorization": f"Bearer {CANARY}"}
            headers |= {"user-agent": CANARY, "traceparent": CANARY, "baggage": CANARY}
            await client.post("/ner", json={"text": "10"}, headers=headers)
            gone = Connection("/ner", {"text": CANARY}, more_body=True)
            gone.close()
            await gone.serve(app)
    written = log.getvalue()
    assert len(written.splitlines()) > 16
    assert CANARY not in written.lower()


@asynchronous
async def test_a_newline_laden_request_id_is_replaced_and_lines_stay_lines() -> None:
    with captured_log() as log:
        async with running_app() as (app, _):
            connection = Connection("/ner", {"text": "10"})
            connection.scope["headers"] = [
                (b"content-type", b"application/json"),
                (b"x-request-id", b'order\r\n{"level": "critical"}\n'),
            ]
            connection.incoming.put_nowait({"type": "http.disconnect"})
            await connection.serve(app)
    assert len(log.requests) == 1
    assert log.requests[0]["request_id"].isalnum()
    assert all(line["level"] != "critical" for line in log.lines)


@asynchronous
async def test_an_unexpected_error_is_one_line_under_the_requests_id() -> None:
    with captured_log() as log:
        async with running_app() as (_, client):
            response = await client.post("/ner", json={"text": "crash while encoding"})
    (error,) = [line for line in log.lines if line["level"] == "error"]
    assert error["request_id"] == response.json()["request_id"] == log.requests[0]["request_id"]
    assert "RuntimeError" in error["exception"] and "tests.fake_model" in error["exception"]
    assert log.requests[0]["status"] == 500


@asynchronous
async def test_a_session_that_fails_says_why_in_the_log() -> None:
    def fail(batch: Any) -> None:
        if batch.input_ids.any():
            raise RuntimeError("no kernel for this shape")

    model = fake_loaded_model("ner", session=FakeSession(fail))
    with captured_log() as log:
        async with running_app({model.name: model}) as (_, client):
            await client.post("/ner", json={"text": "10"})
    assert any("no kernel for this shape" in line.get("exception", "") for line in log.lines)
