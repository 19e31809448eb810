"""Every error of the HTTP contract, in its one shape."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from bigbird_inference.buckets import BucketKey
from bigbird_inference.errors import Draining, NotReady
from service.app import create_app
from service.settings import Settings
from tests.fake_model import POISON, FakeSession, fake_loaded_model
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import running_app

JSON = {"content-type": "application/json"}
SECRET = "the secret cause"


def problem(response: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """Check the shape of a problem and return it."""
    body: dict[str, Any] = response.json()
    assert response.status_code == status, body
    assert response.headers["content-type"] == "application/problem+json"
    assert body["status"] == status
    assert body["code"] == code
    assert body["type"] == f"urn:bigbird-serve:problem:{code}"
    assert body["title"] and body["detail"]
    assert body["request_id"] == response.headers["x-request-id"]
    assert set(body) <= {"type", "title", "status", "detail", "error", "code", "request_id", "index", "errors"}
    fields = "; ".join(f"{entry['field']}: {entry['message']}" for entry in body.get("errors", []))
    error = body["error"]
    assert (error["message"] if isinstance(error, dict) else error) == (fields or body["detail"])
    return body


def logged_under(record: logging.LogRecord, request_id: str) -> bool:
    fields: dict[str, Any] = getattr(record, "fields", {})
    return fields.get("request_id") == request_id


@pytest.mark.parametrize(
    ("content", "detail"),
    [
        pytest.param(b'{"text": ', "line 1, column 10", id="cut off"),
        pytest.param(b"", "empty", id="empty"),
        pytest.param(b"text=a", "not JSON", id="a form"),
        pytest.param(b'{"text": "a", "threshold": NaN}', "NaN", id="NaN"),
        pytest.param(b'{"text": "a", "threshold": -Infinity}', "-Infinity", id="Infinity"),
        pytest.param('{"text": "größe"}'.encode("latin-1"), "not UTF-8 at byte 12", id="Latin-1"),
        pytest.param('{"text": "a"}'.encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"[" * 1_200, "nested too deeply", id="nested a thousand times"),
        pytest.param(b'{"timeout_ms": ' + b"9" * 5000 + b"}", "too many digits", id="a number of 5,000 digits"),
    ],
)
@asynchronous
async def test_a_body_that_is_not_json_is_malformed(content: bytes, detail: str) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=content, headers=JSON)
    assert detail in problem(response, 400, "malformed_request")["detail"]


@pytest.mark.parametrize(
    ("path", "body", "field", "message"),
    [
        pytest.param("/ner", {}, "text", "required", id="a missing field"),
        pytest.param("/ner", {"text": ""}, "text", "at least 1 character", id="an empty text"),
        pytest.param("/ner", {"text": []}, "text", "at least 1 item", id="an empty list"),
        pytest.param("/ner", {"text": ["a", ""]}, "text[1]", "at least 1 character", id="an empty text in a list"),
        pytest.param("/ner", {"text": 5}, "text", "valid string", id="a number for a text"),
        pytest.param("/ner", {"text": None}, "text", "valid string", id="null for a text"),
        pytest.param("/ner", {"text": ["a", 5]}, "text[1]", "valid string", id="a number in a list of texts"),
        pytest.param("/ner", {"text": "a", "treshold": 0}, "treshold", "not permitted", id="an unknown field"),
        pytest.param("/ner", {"text": "a", "threshold": "0.5"}, "threshold", "valid number", id="a text for a number"),
        pytest.param("/ner", {"text": "a", "threshold": 1.5}, "threshold", "less than or equal", id="out of range"),
        pytest.param("/ner", {"text": "a", "aggregation": "sum"}, "aggregation", "'simple'", id="an unknown choice"),
        pytest.param("/ner", {"text": "a", "timeout_ms": 0}, "timeout_ms", "greater than", id="no time"),
        pytest.param("/ner", {"text": "a", "timeout_ms": 2.5}, "timeout_ms", "valid integer", id="a fraction"),
        pytest.param("/ner", {"text": "a", "timeout_ms": True}, "timeout_ms", "valid integer", id="a boolean"),
        pytest.param("/ner", {"text": "a", "window_stride": -1}, "window_stride", "greater than", id="below zero"),
        pytest.param("/ner", {"text": "a", "model": ""}, "model", "at least 1 character", id="an empty model"),
        pytest.param("/ner", ["a"], "body", "valid", id="a list for the body"),
        pytest.param("/qa", {"context": "a"}, "question", "required", id="no question"),
        pytest.param("/qa", {"question": "", "context": "a"}, "question", "at least 1", id="an empty question"),
        pytest.param("/qa", {"question": "a", "context": "b", "top_k": 0}, "top_k", "greater than", id="no answers"),
        pytest.param("/qa", {"question": "a", "context": "b", "no_answer": 1}, "no_answer", "boolean", id="a one"),
        pytest.param("/classify", {"text": "a", "function": "tanh"}, "function", "'softmax'", id="a function"),
        pytest.param("/classify", {"text": "a", "text_pair": ""}, "text_pair", "at least 1", id="an empty pair"),
        pytest.param("/fill-mask", {}, "text", "required", id="no text with masks"),
        pytest.param("/fill-mask", {"text": "a", "mask": ""}, "mask", "at least 1", id="an empty mask"),
        pytest.param("/fill-mask", {"text": "a", "top_k": 1001}, "top_k", "less than", id="a thousand and one tokens"),
        pytest.param("/fill-mask", {"text": "a", "window_stride": 1}, "window_stride", "not permitted", id="a stride"),
        pytest.param("/next-sentence", {"first": "a"}, "second", "required", id="no second text"),
        pytest.param("/next-sentence", {"first": "", "second": "a"}, "first", "at least 1", id="an empty first text"),
        pytest.param("/multiple-choice", {"prompt": "a"}, "choices", "required", id="no choices"),
        pytest.param("/multiple-choice", {"prompt": "a", "choices": ["b"]}, "choices", "at least 2", id="one choice"),
        pytest.param("/multiple-choice", {"prompt": "a", "choices": ["b", ""]}, "choices[1]", "at least 1", id="blank"),
        pytest.param(
            "/multiple-choice", {"prompt": "a", "choices": ["b"] * 65}, "choices", "at most 64", id="too many"
        ),
        pytest.param("/multiple-choice", {"prompt": "a", "choices": "bc"}, "choices", "list", id="a text for choices"),
        pytest.param("/embed", {"text": "a", "pooling": "max"}, "pooling", "'mean'", id="an unknown pooling"),
        pytest.param("/embed", {"text": "a", "normalize": "yes"}, "normalize", "boolean", id="a word for a boolean"),
        pytest.param("/generate", {"prompt": ""}, "prompt", "at least 1", id="an empty prompt"),
        pytest.param("/generate", {"prompt": "a", "max_new_tokens": 0}, "max_new_tokens", "greater", id="no tokens"),
        pytest.param("/generate", {"prompt": "a", "max_new_tokens": 4097}, "max_new_tokens", "less", id="a book"),
        pytest.param("/generate", {"prompt": "a", "sampling": "beam"}, "sampling", "'greedy'", id="another sampling"),
        pytest.param("/generate", {"prompt": "a", "top_p": 0}, "top_p", "greater than 0", id="a share of nothing"),
        pytest.param("/generate", {"prompt": "a", "top_p": 1.5}, "top_p", "less than", id="more than everything"),
        pytest.param("/generate", {"prompt": "a", "temperature": 0}, "temperature", "greater", id="absolute zero"),
        pytest.param("/generate", {"prompt": "a", "seed": -1}, "seed", "greater than", id="a seed below zero"),
        pytest.param("/generate", {"prompt": "a", "seed": 2**32}, "seed", "less than", id="a seed of 33 bits"),
    ],
)
@asynchronous
async def test_an_invalid_field_is_named(path: str, body: object, field: str, message: str) -> None:
    async with running_app() as (_, client):
        response = await client.post(path, json=body)
    errors = problem(response, 422, "invalid_request")["errors"]
    assert [error["field"] for error in errors] == [field]
    assert message in errors[0]["message"]


@pytest.mark.parametrize("where", ["in the text", "in a list", "in a field's name"])
@asynchronous
async def test_a_lone_surrogate_is_invalid_wherever_it_stands(where: str) -> None:
    content = {
        "in the text": rb'{"text": "a\ud800b"}',
        "in a list": rb'{"text": ["a", "\udfff"]}',
        "in a field's name": rb'{"text": "a", "\ud800": 1}',
    }[where]
    async with running_app() as (_, client):
        response = await client.post("/ner", content=content, headers=JSON)
    assert len(problem(response, 422, "invalid_request")["errors"]) == 1


@asynchronous
async def test_a_thousand_invalid_items_give_a_short_answer_without_their_text() -> None:
    async with running_app(max_list_items=2000) as (_, client):
        response = await client.post("/ner", json={"text": [["a private text"]] * 1000})
    body = problem(response, 422, "invalid_request")
    assert len(body["errors"]) == 20
    assert "and 980 more" in body["detail"]
    assert "private" not in response.text


@asynchronous
async def test_a_text_of_spaces_is_invalid() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"text": "   "})
    problem(response, 422, "invalid_input")


@asynchronous
async def test_a_path_that_does_not_exist_is_not_found() -> None:
    async with running_app() as (_, client):
        for path in ("/nothing", "/qa/", "/health"):
            problem(await client.get(path), 404, "not_found")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        pytest.param("GET", "/qa", "POST", id="reading a task"),
        pytest.param("PUT", "/ner", "POST", id="putting to a task"),
        pytest.param("POST", "/metrics", "GET", id="posting to the metrics"),
        pytest.param("DELETE", "/v1/models", "GET", id="deleting the models"),
    ],
)
@asynchronous
async def test_a_wrong_method_is_told_the_right_one(method: str, path: str, allowed: str) -> None:
    async with running_app() as (_, client):
        response = await client.request(method, path)
    problem(response, 405, "method_not_allowed")
    assert response.headers["allow"] == allowed


@pytest.mark.parametrize(
    "content_type",
    [
        pytest.param("text/plain", id="plain text"),
        pytest.param("application/x-www-form-urlencoded", id="a form"),
        pytest.param("application/vnd.api+json", id="another JSON"),
        pytest.param("application/json; charset=latin-1", id="JSON in another encoding"),
        pytest.param("nonsense", id="nonsense"),
        pytest.param("", id="empty"),
        pytest.param(None, id="missing"),
    ],
)
@asynchronous
async def test_a_content_type_that_is_not_json_is_refused(content_type: str | None) -> None:
    headers = {} if content_type is None else {"content-type": content_type}
    async with running_app() as (_, client):
        response = await client.post("/ner", content=b'{"text": "a"}', headers=headers)
    problem(response, 415, "unsupported_media_type")


@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON;charset=utf8"])
@asynchronous
async def test_json_with_its_charset_is_accepted(content_type: str) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=b'{"text": "a"}', headers={"content-type": content_type})
    assert response.status_code == 200


@pytest.mark.parametrize("announced", [True, False], ids=["announced", "sent in chunks"])
@asynchronous
async def test_413_a_body_over_the_limit_is_read_to_its_end(announced: bool) -> None:
    sent = 0

    async def chunks() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(100):
            sent += 10
            yield b"0123456789"

    async with running_app(max_body_bytes=100) as (_, client):
        content: Any = b"x" * 101 if announced else chunks()
        response = await client.post("/ner", content=content, headers=JSON)
        problem(response, 413, "too_large")
        assert "connection" not in response.headers
        assert announced or sent == 1000
        body = b'{"text": "a"}'.ljust(100)
        assert (await client.post("/ner", content=body, headers=JSON)).status_code == 200


@asynchronous
async def test_413_a_body_without_end_is_not_read_for_ever() -> None:
    async def chunks() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1024 * 1024

    async with running_app(max_body_bytes=100) as (_, client):
        response = await client.post("/ner", content=chunks(), headers=JSON)
    problem(response, 413, "too_large")
    assert response.headers["connection"] == "close"


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        pytest.param("/ner", {"text": "a" * 11}, "text", id="a text"),
        pytest.param("/ner", {"text": ["a", "a" * 11]}, "text", id="a text in a list"),
        pytest.param("/qa", {"question": "a" * 11, "context": "a"}, "question", id="a question"),
        pytest.param("/qa", {"question": "a", "context": "a" * 11}, "context", id="a context"),
        pytest.param("/classify", {"text": "a", "text_pair": "a" * 11}, "text_pair", id="a second text"),
        pytest.param("/ner", {"text": ["a"] * 4}, "text", id="a list"),
        pytest.param("/fill-mask", {"text": "a" * 11}, "text", id="a text with masks"),
        pytest.param("/next-sentence", {"first": "a" * 11, "second": "a"}, "first", id="a first text"),
        pytest.param("/next-sentence", {"first": "a", "second": "a" * 11}, "second", id="a text that follows"),
        pytest.param("/multiple-choice", {"prompt": "a" * 11, "choices": ["a", "b"]}, "prompt", id="a prompt"),
        pytest.param("/multiple-choice", {"prompt": "a", "choices": ["a", "b" * 11]}, "choices", id="a choice"),
        pytest.param("/multiple-choice", {"prompt": "a", "choices": ["a"] * 4}, "choices", id="many choices"),
        pytest.param("/embed", {"text": "a" * 11}, "text", id="a text to embed"),
        pytest.param("/generate", {"prompt": "a" * 11}, "prompt", id="a text to continue"),
    ],
)
@asynchronous
async def test_413_a_text_or_list_over_its_limit(path: str, body: dict[str, Any], field: str) -> None:
    async with running_app(max_characters=10, max_list_items=3) as (_, client):
        response = await client.post(path, json=body)
        assert problem(response, 413, "too_large")["detail"].startswith(f"{field} has ")
        fits = await client.post("/ner", json={"text": ["\U0001f600" * 10] * 3})
    assert fits.status_code == 200


@asynchronous
async def test_a_failed_run_reveals_nothing_and_is_logged_under_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"text": f"{POISON}"})
    body = problem(response, 500, "inference_failed")
    assert SECRET not in response.text
    assert SECRET in caplog.text
    assert any(logged_under(record, body["request_id"]) and record.exc_info for record in caplog.records)


@asynchronous
async def test_an_unexpected_error_reveals_nothing_and_is_logged_under_the_request_id(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", json={"text": "crash while encoding"})
        after = await client.post("/ner", json={"text": "10"})
    body = problem(response, 500, "internal_error")
    assert SECRET not in response.text
    assert any(logged_under(record, body["request_id"]) and record.exc_info for record in caplog.records)
    assert after.status_code == 200


@asynchronous
async def test_logs_hold_no_document_text(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, logger="service")
    async with running_app() as (_, client):
        for text in ("confidential", f"confidential {POISON}", "confidential " * 50_000):
            await client.post("/ner", json={"text": text})
    assert "confidential" not in caplog.text


@asynchronous
async def test_a_request_that_is_not_answered_in_time_gets_a_timeout_while_its_batch_still_runs() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}) as (_, client):
        response = await client.post("/ner", json={"text": "10", "timeout_ms": 20})
        problem(response, 504, "deadline_exceeded")
        gate.opened.set()


@asynchronous
async def test_the_servers_timeout_holds_where_a_request_names_none() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, timeout_ms=20) as (_, client):
        response = await client.post("/ner", json={"text": "10"})
        problem(response, 504, "deadline_exceeded")
        gate.opened.set()


@asynchronous
async def test_429_a_full_queue_says_when_to_come_back() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, max_queued_items=1) as (app, client):
        running = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        await asyncio.to_thread(gate.reached.wait)
        waiting = asyncio.create_task(client.post("/ner", json={"text": "20"}))
        while app.state.serving.scheduler.waiting_items("fake-ner", 8) == 0:
            await asyncio.sleep(0)
        refused = await client.post("/ner", json={"text": "30"})
        gate.opened.set()
        problem(refused, 429, "queue_full")
        assert refused.headers["retry-after"] == "1"
        assert [(await task).status_code for task in (running, waiting)] == [200, 200]


@asynchronous
async def test_a_request_that_cannot_make_its_deadline_is_refused_at_once_with_the_reason() -> None:
    model = fake_loaded_model("ner")
    async with running_app({model.name: model}) as (app, client):
        app.state.serving.cost_model.measured(BucketKey("fake-ner", 8), 1, 5.0)
        refused = await client.post("/ner", json={"text": "10", "timeout_ms": 4000})
        accepted = await client.post("/ner", json={"text": "10", "timeout_ms": 60_000})
        counted = app.state.serving.metrics.registry.get_sample_value(
            "bigbird_refused_requests_total", {"reason": "deadline_unreachable"}
        )
    body = problem(refused, 504, "deadline_unreachable")
    assert "take 5.00 s" in body["detail"]
    assert accepted.status_code == 200
    assert counted == 1


@asynchronous
async def test_503_while_a_run_does_not_end() -> None:
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    async with running_app({model.name: model}, stuck_run_factor=1e-9, stuck_run_seconds=0) as (_, client):
        running = asyncio.create_task(client.post("/ner", json={"text": "10"}))
        await asyncio.to_thread(gate.reached.wait)
        problem(await client.get("/health/live"), 503, NotReady.code)
        problem(await client.get("/health/ready"), 503, NotReady.code)
        problem(await client.post("/ner", json={"text": "20"}), 503, NotReady.code)
        problem(await running, 503, NotReady.code)
        gate.opened.set()
        while (await client.get("/health/live")).status_code != 200:
            await asyncio.sleep(0)  # an answer alone need not let the event loop see that the run has ended


@asynchronous
async def test_503_while_warming_but_alive() -> None:
    gate = Gate(hold_warm_up=True)
    model = fake_loaded_model("ner", session=gate.session)
    app = create_app(Settings(), {model.name: model})
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://localhost") as client,
    ):
        assert (await client.get("/health/live")).status_code == 200
        assert (await client.get("/v1/models")).status_code == 200
        for response in (await client.post("/ner", json={"text": "10"}), await client.get("/health/ready")):
            problem(response, 503, NotReady.code)
            assert int(response.headers["retry-after"]) >= 1
        gate.opened.set()
        await app.state.serving.warmed()
        assert (await client.get("/health/ready")).status_code == 200
        assert (await client.post("/ner", json={"text": "10"})).status_code == 200


@asynchronous
async def test_413_a_request_that_no_queue_could_hold() -> None:
    async with running_app(max_queued_items=2) as (_, client):
        response = await client.post("/ner", json={"text": ["10", "20", "30"]})
    problem(response, 413, "too_large")


@asynchronous
async def test_503_while_draining_but_alive() -> None:
    async with running_app() as (app, client):
        app.state.serving.shutdown.drain()
        for response in (await client.post("/ner", json={"text": "10"}), await client.get("/health/ready")):
            problem(response, 503, Draining.code)
            assert int(response.headers["retry-after"]) >= 1
        assert (await client.get("/health/live")).status_code == 200


@asynchronous
async def test_503_of_everything_when_the_executor_is_dead() -> None:
    class ThreadKilled(BaseException):
        pass

    def kill(batch: Any) -> None:
        if batch.input_ids.any():
            raise ThreadKilled

    model = fake_loaded_model("ner", session=FakeSession(kill))
    async with running_app({model.name: model}) as (_, client):
        assert (await client.get("/health/live")).status_code == 200
        waiting = await client.post("/ner", json={"text": "10"})
        problem(waiting, 503, NotReady.code)
        problem(await client.post("/ner", json={"text": "10"}), 503, NotReady.code)
        problem(await client.get("/health/ready"), 503, NotReady.code)
        problem(await client.get("/health/live"), 503, NotReady.code)


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        pytest.param("order-17:retry.2_a", True, id="short and harmless"),
        pytest.param("a" * 128, True, id="as long as allowed"),
        pytest.param("a" * 129, False, id="too long"),
        pytest.param("a b", False, id="with a space"),
        pytest.param("<script>", False, id="with markup"),
        pytest.param("", False, id="empty"),
    ],
)
@asynchronous
async def test_a_request_id_is_kept_if_it_is_harmless_and_made_otherwise(given: str, kept: bool) -> None:
    async with running_app() as (_, client):
        for path in ("/health/live", "/nothing"):
            answered = (await client.get(path, headers={"x-request-id": given})).headers["x-request-id"]
            assert (answered == given) == kept
            assert len(answered) >= 32 or kept


@asynchronous
async def test_a_model_that_cannot_be_warmed_is_never_ready_and_asks_for_the_servers_end() -> None:
    def fail(batch: Any) -> None:
        raise RuntimeError(SECRET)

    ends: list[str] = []
    model = fake_loaded_model("ner", session=FakeSession(fail))
    app = create_app(Settings(), {model.name: model}, on_failure=lambda: ends.append("end"))
    async with app.router.lifespan_context(app):
        await app.state.serving.warmed()
        assert ends == ["end"]
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client:
            problem(await client.get("/health/ready"), 503, NotReady.code)
