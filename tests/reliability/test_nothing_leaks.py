"""No text of a user, no path of the server and no stack trace, wherever one looks: answers, log, metrics, traces.

The first half breaks the service from inside, in every way that an answer can end. The second runs the real command and
looks at all that comes out of the process.
"""

import asyncio
import json
import logging
import os
import re
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from service.security.access import key_line
from service.settings import LogFormat
from service.telemetry.opentelemetry_tracing import OpenTelemetryTracing
from tests.fake_model import POISON, FakeSession, FakeTask, fake_loaded_model, fake_manifest, main_text
from tests.reliability.served import ROOT, served
from tests.reliability.small_bundles import write_small_bundles
from tests.service.api.test_disconnect import Connection
from tests.service.asynchronous import asynchronous
from tests.service.gate import Gate
from tests.service.running_app import fake_models, running_app
from tests.service.telemetry.captured_logs import captured_log
from tests.service.telemetry.collector import attributes, running_collector

# A word that no code, no vocabulary and no label contains, in a text, in what surrounds it, and as the key.
MARKER = "kanarienvogel"
KEY = f"key-of-the-{MARKER}"
TASKS = sorted(get_args(TaskName))


def texts_of(task: str, text: str) -> dict[str, Any]:
    """Return a task's request with this text in every place that takes one."""
    match task:
        case "qa":
            return {"question": text, "context": text}
        case "multiple-choice":
            return {"prompt": text, "choices": [text, f"{text} 2"]}
        case "next-sentence":
            return {"first": text, "second": text}
        case "generate":
            return {"prompt": text, "max_new_tokens": 2}
        case "fill-mask":
            return {"text": f"{text} [MASK]"}
        case _:
            return {"text": text}


class QuotingTask(FakeTask):
    """Fails in every stage, and quotes the text when it does, as any library may."""

    def encode(self, request: Any) -> Any:
        text = main_text(request)
        if "bad encoding" in text:
            try:
                raise KeyError(text)
            except KeyError as error:
                raise RuntimeError(f"cannot encode {text}") from error
        return super().encode(request)

    def decode(self, encoded: Any, outputs: Any) -> Any:
        text = main_text(encoded.request)
        if "bad decoding" in text:
            error = ValueError(f"cannot decode {text}")
            error.add_note(text)
            raise error
        return super().decode(encoded, outputs)


def quoting_models() -> dict[str, LoadedModel]:
    return {
        name: replace(model, task=QuotingTask(fake_manifest(model.manifest.task)))
        for name, model in fake_models().items()
    }


@dataclass(slots=True)
class Seen:
    """What came out of the application.

    Attributes:
        problems: Every answer that is none of 200, whole.
        statuses: Every status that there was.
        other: Log, metrics and spans.
    """

    problems: list[str] = field(default_factory=list)
    statuses: set[int] = field(default_factory=set)
    other: list[str] = field(default_factory=list)

    def answer(self, response: httpx.Response) -> None:
        self.statuses.add(response.status_code)
        if response.status_code != 200:
            self.problems.append(f"{response.headers} {response.text}")


@asynccontextmanager
async def watched(
    seen: Seen, log_format: LogFormat, **options: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    """Run the application with tracing, keys and a log that tells everything, and note all of it."""
    exporter = InMemorySpanExporter()
    with pytest.MonkeyPatch.context() as patch, captured_log(log_format, logging.DEBUG) as log:
        tracing = OpenTelemetryTracing(lambda: SimpleSpanProcessor(exporter))
        patch.setattr("service.app.create_tracing", lambda settings: tracing)
        async with running_app(**{"api_keys": key_line("tester", KEY), **options}) as (app, client):
            client.headers["authorization"] = f"Bearer {KEY}"
            yield app, client
            seen.other.append((await client.get("/metrics")).text)
    spans = "\n".join(span.to_json() for span in exporter.get_finished_spans())
    assert "POST /" in spans and "bigbird_requests_total" in seen.other[-1] and log.getvalue()
    seen.other += [spans, log.getvalue()]


def assert_nothing_leaked(seen: Seen) -> None:
    for text in (*seen.problems, *seen.other):
        assert not leaks(text), leaks(text)


def leaks(text: str) -> list[str]:
    """Return what a text tells that nobody should read, with what surrounds it."""
    found = []
    for secret in (MARKER, "Traceback", str(ROOT), "site-packages", ".py"):
        position = text.lower().find(secret.lower())
        if position >= 0:
            found.append(text[max(0, position - 200) : position + 200])
    return found


def failures_of(task: str) -> Iterator[dict[str, Any]]:
    """Give requests that fail in the body, in a field, in a size, and in every stage of the model."""
    for failing in ("bad encoding", "bad decoding", str(POISON)):
        yield texts_of(task, f"{MARKER} {failing}")
    listed = texts_of(task, f"{MARKER} bad decoding")
    first = next(iter(listed))
    yield {**listed, first: [MARKER, f"{MARKER} bad encoding"]}
    yield texts_of(task, f"{MARKER} " * 400)
    yield texts_of(task, MARKER) | {first: [MARKER] * 4}
    yield texts_of(task, MARKER) | {first: {MARKER: MARKER}}
    yield texts_of(task, MARKER) | {first: [MARKER, 5, {MARKER: MARKER}]}
    yield texts_of(task, MARKER) | {"timeout_ms": MARKER}
    if task != "fill-mask":
        yield texts_of(task, " ")


@pytest.mark.parametrize("log_format", ["json", "text"])
@asynchronous
async def test_an_answer_that_fails_repeats_nothing_and_nothing_else_does(log_format: LogFormat) -> None:
    seen = Seen()
    limits: dict[str, Any] = {"max_characters": 2000, "max_list_items": 3, "max_body_bytes": 20_000}
    async with watched(seen, log_format, models=quoting_models(), **limits) as (_, client):
        for task in TASKS:
            path = f"/{task}"
            seen.answer(await client.post(path, json=texts_of(task, MARKER)))
            for body in failures_of(task):
                response = await client.post(path, json=body)
                assert response.status_code != 200, body
                seen.answer(response)
            seen.answer(await client.post(path, json=texts_of(task, f"{MARKER} " * 8000)))
            json_type = {"content-type": "application/json"}
            for content in (
                f'{{"text": "{MARKER}',
                f'["{MARKER}"]',
                f'"{MARKER}"',
                f'{{"text": "{MARKER}"}}{MARKER}',
                f'{{"text": "{MARKER}", "text": "{MARKER}"}}',
                f'{{"text": {MARKER}}}',
                f'{{"text": "{MARKER}"}}'.encode("utf-16"),
            ):
                seen.answer(await client.post(path, content=content, headers=json_type))
            seen.answer(await client.post(path, content=MARKER, headers={"content-type": f"text/{MARKER}"}))
            seen.answer(await client.post(path, json={}, headers={"authorization": f"Bearer {MARKER}"}))
        for method, path in (
            ("GET", f"/{MARKER}?{MARKER}={MARKER}"),
            ("PUT", f"/ner?{MARKER}"),
            (MARKER.upper(), "/ner"),
        ):
            seen.answer(await client.request(method, path, headers={"user-agent": MARKER, "traceparent": MARKER}))
        for change in ("load", "reload", "unload"):
            seen.answer(await client.post(f"/v1/models/{MARKER}/{change}"))
    assert seen.statuses >= {200, 400, 401, 403, 404, 405, 413, 415, 422, 500}
    assert_nothing_leaked(seen)


@pytest.mark.parametrize("log_format", ["json", "text"])
@asynchronous
async def test_neither_does_one_that_is_refused_given_up_or_too_late(log_format: LogFormat) -> None:
    seen = Seen()
    gate = Gate()
    model = fake_loaded_model("ner", session=gate.session)
    limits = {"max_queued_items": 2, "max_requests": 4}
    async with watched(seen, log_format, models={model.name: model}, **limits) as (app, client):
        body = {"text": MARKER}
        running = asyncio.create_task(client.post("/ner", json=body))
        await asyncio.to_thread(gate.reached.wait)
        seen.answer(await client.post("/ner", json={**body, "timeout_ms": 1}))
        gone = Connection("/ner", body)
        gone.scope["headers"].append((b"authorization", f"Bearer {KEY}".encode()))
        serving = asyncio.create_task(gone.serve(app))
        while app.state.serving.scheduler.waiting_items("fake-ner", 8) == 0:
            await asyncio.sleep(0)
        gone.close()
        await serving
        waiting = asyncio.create_task(client.post("/ner", json={"text": [MARKER] * 2}))
        while app.state.serving.scheduler.waiting_items("fake-ner", 8) < 2:
            await asyncio.sleep(0)
        seen.answer(await client.post("/ner", json=body))
        app.state.serving.shutdown.drain()
        seen.answer(await client.post("/ner", json=body))
        seen.answer(await client.get("/health/ready"))
        gate.opened.set()
        await asyncio.gather(running, waiting)
    assert seen.statuses == {429, 503, 504}
    assert_nothing_leaked(seen)


@asynchronous
async def test_what_a_broken_session_says_is_in_the_log_and_in_no_answer() -> None:
    def fail(batch: Any) -> None:
        if batch.input_ids.any():
            raise RuntimeError("no kernel for this shape")

    seen = Seen()
    model = fake_loaded_model("ner", session=FakeSession(fail))
    async with watched(seen, "json", models={model.name: model}) as (_, client):
        seen.answer(await client.post("/ner", json={"text": MARKER}))
    assert seen.statuses == {500}
    assert_nothing_leaked(seen)
    assert "no kernel" not in "".join(seen.problems) and "no kernel" in seen.other[-1]


@pytest.mark.parametrize(
    ("log_format", "tasks"),
    [
        pytest.param("json", TASKS, id="every task, and a log for machines"),
        pytest.param("text", ["ner", "qa"], id="two tasks, and a log for people"),
    ],
)
def test_the_real_server_tells_neither_texts_nor_paths_nor_keys(
    log_format: str, tasks: list[TaskName], tmp_path: Path
) -> None:
    folder = tmp_path / f"secret-place-{MARKER}"
    write_small_bundles(folder, tasks)
    (tmp_path / "keys").write_text(f"{key_line('tester', KEY)}\n", encoding="utf-8")
    with running_collector() as collector:
        environment = {
            "BIGBIRD_LOG_FORMAT": log_format,
            "BIGBIRD_LOG_LEVEL": "debug",
            "BIGBIRD_WARM_UP_SECONDS": "0",
            "BIGBIRD_API_KEYS_FILE": str(tmp_path / "keys"),
            "BIGBIRD_ADMIN_KEY": key_line("root", f"admin-{KEY}"),
            "BIGBIRD_TRACING": "true",
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
        }
        command = ["-m", "bigbird_cli", "serve", "--models", str(folder), "--port", "0"]
        with served(*command, environment=environment) as server:
            answers = list(_ask_for_everything(server.url, folder, tasks))
            public = [httpx.get(server.url + path).text for path in ("/metrics", "/openapi.json", "/docs")]
            server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(timeout=60) == 0
            log = server.log.read_text(encoding="utf-8")
    spans = [json.dumps([span.name, attributes(span)]) for span in collector.spans]
    told = [text for status, text in answers if status != 200]
    assert {status for status, _ in answers} >= {200, 400, 401, 404, 422}
    assert len(log.splitlines()) > 20 and len(spans) > 20
    for text in (*told, *public, *spans, json.dumps(collector.resources), log):
        assert not leaks(text), leaks(text)
        assert str(tmp_path) not in text and os.path.expanduser("~") not in re.sub(r"https?://\S+", "", text)
    hashes = re.compile(key_line("tester", KEY).split(":")[1])
    assert not any(hashes.search(text) for text in (*told, *public, log))


def _ask_for_everything(url: str, folder: Path, tasks: list[TaskName]) -> Iterator[tuple[int, str]]:
    """Ask every endpoint for answers and for failures; at the end, load what cannot be loaded."""
    with httpx.Client(base_url=url, headers={"authorization": f"Bearer {KEY}"}, timeout=60) as client:
        for task in tasks:
            for body in (
                texts_of(task, f"The {MARKER} sang. " * 3),
                texts_of(task, f"{MARKER} " * 500),
                texts_of(task, " "),
                {"unknown": MARKER},
            ):
                response = client.post(f"/{task}", json=body)
                yield response.status_code, response.text
            response = client.post(f"/{task}", content=f'{{"{MARKER}', headers={"content-type": "application/json"})
            yield response.status_code, response.text
        models = client.get("/v1/models")
        assert str(folder) not in models.text and MARKER not in models.text
        yield models.status_code, models.text
        response = client.get("/v1/models", headers={"authorization": f"Bearer {MARKER}"})
        yield response.status_code, response.text
        shutil.rmtree(folder / "small-ner")
        (folder / "small-qa" / "manifest.json").write_text(f'{{"{MARKER}": ', encoding="utf-8")
        for name in ("small-ner", "small-qa", f"..%2f{MARKER}", "none"):
            response = client.post(f"/v1/models/{name}/reload", headers={"authorization": f"Bearer admin-{KEY}"})
            yield response.status_code, response.text
