"""What Python would print by itself: it becomes lines of the log, without tracebacks, paths and texts."""

import asyncio
import gc
import io
import json
import logging
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.errors import InferenceFailed
from service.settings import LogFormat
from service.telemetry.logs import JsonLines, TextLines, line_format, with_fields


@contextmanager
def logging_to(stream: io.StringIO, name: str, log_format: LogFormat = "json") -> Iterator[logging.Logger]:
    """A logger of this name that writes to the stream and nowhere else."""
    logger = logging.getLogger(name)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(line_format(log_format, terminal=False))
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    yield logger
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


def written(name: str, log: Callable[[logging.Logger], None], log_format: LogFormat = "json") -> str:
    stream = io.StringIO()
    with logging_to(stream, name, log_format) as logger:
        log(logger)
    return stream.getvalue()


def fail(cause: Exception, error: Exception) -> Exception:
    """Raise the one because of the other, as code does, and return what was caught."""
    try:
        try:
            raise cause
        except Exception as caught:
            raise error from caught
    except Exception as caught:
        return caught


def test_a_line_is_one_json_object_with_time_level_logger_message_and_fields() -> None:
    fields = with_fields(status=200, model=None)
    text = written("service.api.x", lambda logger: logger.info("GET %s", "/qa", extra=fields))
    line: dict[str, Any] = json.loads(text)
    assert text.endswith("}\n")
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "service.api.x", "message": "GET /qa", "status": 200}


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("a\nb\r\nc", id="line ends"),
        pytest.param('"}\n{"level": "critical"', id="a line that looks like another"),
        pytest.param("\u2028\u0085\x00\x1b[31m", id="separators, zeros and terminal colours"),
        pytest.param("\ud800", id="half a character"),
    ],
)
def test_nothing_in_a_value_can_break_a_line(value: str) -> None:
    text = written("service.api.x", lambda logger: logger.info("%s", value, extra=with_fields(value=value)))
    assert text.isascii() and text.count("\n") == 1
    line = json.loads(text)
    assert (line["message"], line["value"]) == (value, value)


def test_an_exception_stands_in_one_field_with_its_causes_and_places() -> None:
    error = fail(ValueError("no room"), RuntimeError("the run failed"))
    text = written("service.batching.x", lambda logger: logger.error("failed", exc_info=error))
    assert text.count("\n") == 1
    exception = json.loads(text)["exception"]
    assert "ValueError: no room" in exception
    assert "RuntimeError: the run failed" in exception
    assert "in fail" in exception


@pytest.mark.parametrize(
    "name", ["service.api.request_context", "asyncio", "uvicorn.error", "bigbird_inference.tasks.x"]
)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_where_texts_are_at_hand_an_exceptions_message_is_left_out(name: str, log_format: LogFormat) -> None:
    error = fail(KeyError("canary"), RuntimeError("cannot read canary"))
    error.add_note("while reading canary")
    text = written(name, lambda logger: logger.error("failed", exc_info=error), log_format)
    assert "canary" not in text
    assert "KeyError" in text and "RuntimeError" in text and "in fail" in text


@pytest.mark.parametrize("name", ["service.batching.x", "service.api.x", "uvicorn.error"])
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_an_exceptions_places_are_modules_and_never_files_or_their_lines(name: str, log_format: LogFormat) -> None:
    error = fail(ValueError("no room"), RuntimeError("the run failed"))
    text = written(name, lambda logger: logger.error("failed", exc_info=error), log_format)
    assert f"{__name__}:" in text and "in fail" in text
    assert "Traceback" not in text and ".py" not in text and "/" not in text and "raise" not in text


def test_our_own_errors_keep_their_message_everywhere() -> None:
    error = fail(KeyError("canary"), InferenceFailed("The model run failed; the server's log has the cause."))
    text = written("service.api.problems", lambda logger: logger.error("failed", exc_info=error))
    assert "The model run failed" in json.loads(text)["exception"]
    assert "canary" not in text


def test_an_exception_that_is_its_own_cause_ends() -> None:
    first, second = ValueError("a"), ValueError("b")
    first.__cause__, second.__cause__ = second, first
    text = written("asyncio", lambda logger: logger.error("failed", exc_info=first))
    assert json.loads(text)["exception"].count("ValueError") == 2


def test_people_read_time_level_message_and_fields() -> None:
    text = written(
        "service.api.x",
        lambda logger: logger.info("POST /qa 200", extra=with_fields(buckets=[128, 512], duration_ms=1.5)),
        "text",
    )
    assert text[12:] == " INFO     POST /qa 200 buckets=128,512 duration_ms=1.5\n"


@pytest.mark.parametrize(
    ("log_format", "terminal", "lines"),
    [
        pytest.param("auto", False, JsonLines, id="a file gets JSON"),
        pytest.param("auto", True, TextLines, id="a terminal gets text"),
        pytest.param("json", True, JsonLines, id="JSON on a terminal if asked for"),
        pytest.param("text", False, TextLines, id="text in a file if asked for"),
    ],
)
def test_the_format_goes_by_the_stream_unless_it_is_chosen(
    log_format: LogFormat, terminal: bool, lines: type[logging.Formatter]
) -> None:
    assert isinstance(line_format(log_format, terminal), lines)


@pytest.mark.parametrize("log_format", ["json", "text"])
def test_a_task_whose_failure_nobody_awaited_is_logged_without_its_message(log_format: LogFormat) -> None:
    async def fail_alone(text: str) -> None:
        raise ValueError(f"cannot read {text}")

    async def forget() -> None:
        task = asyncio.create_task(fail_alone("canary"))
        await asyncio.wait([task])
        del task
        gc.collect()

    text = written("asyncio", lambda logger: asyncio.run(forget()), log_format)
    assert "never retrieved" in text and "ValueError" in text
    assert "canary" not in text


ROOT = Path(__file__).parents[3]
PRELUDE = """
import logging, sys, threading, warnings
from service.process.standard_error import start_log
from service.telemetry.logs import with_fields
start_log("info", "{log_format}")

def fail():
    raise ValueError("cannot read canary")

class Failing:
    def __del__(self):
        fail()
"""
WAYS = {
    "nobody catches it": ("fail()", "uncaught exception"),
    "nobody catches it in a thread": (
        "thread = threading.Thread(target=fail, name='decode'); thread.start(); thread.join()",
        "uncaught exception in the thread decode",
    ),
    "nobody can catch it": ("Failing()", "an exception could not be raised"),
    "a warning": ("warnings.warn('something is old')", "UserWarning: something is old"),
}


def printed(code: str, log_format: str) -> str:
    script = PRELUDE.replace("{log_format}", log_format) + code
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log_format", ["json", "text"])
def test_it_is_a_line_like_any_other(way: str, log_format: str) -> None:
    code, message = WAYS[way]
    text = printed(code, log_format)
    assert message in text
    assert "Traceback" not in text and "canary" not in text and "/" not in text and ".py" not in text
    if log_format == "json":
        assert [json.loads(line)["level"] in ("critical", "error", "warning") for line in text.splitlines()] == [True]


def test_a_line_that_cannot_be_written_is_left_out_and_not_printed_with_a_traceback() -> None:
    code = "logging.info('kept'); logging.info('lost', extra=with_fields(value={1, 'canary'})); logging.info('kept')"
    lines = [json.loads(line)["message"] for line in printed(code, "json").splitlines()]
    assert lines == ["kept", "kept"]


def test_being_interrupted_is_not_an_error() -> None:
    assert printed("raise KeyboardInterrupt", "text") == ""


# Serves, asks itself one question, and is told to stop.
SERVER = """
import http.client, os, signal, sys, threading, warnings, uvicorn
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import fake_loaded_model

def ask(port):
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"content-type": "application/json", "x-request-id": "order-17"}
    connection.request("POST", "/ner", '{"text": "10"}', headers)
    connection.getresponse().read()
    warnings.warn("something is old")
    os.write(2, b"\\x1b[0;93m2026-11-28 [W:onnxruntime:, x.cc:1 f] native words\\x1b[m\\n")
    os.kill(os.getpid(), signal.SIGTERM)

start = uvicorn.Server.startup

async def startup(self, sockets=None):
    await start(self, sockets)
    await self._app.state.serving.warmed()
    threading.Thread(target=ask, args=[self.servers[0].sockets[0].getsockname()[1]]).start()

uvicorn.Server.startup = startup
sys.exit(serve(Settings(port=0, warm_up_seconds=0), lambda settings: {"fake": fake_loaded_model("ner", "fake")}))
"""


def test_everything_that_the_server_writes_is_a_json_line() -> None:
    done = subprocess.run([sys.executable, "-c", SERVER], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout == ""
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert all({"time", "level", "logger", "message"} <= set(line) for line in lines)
    assert {"uvicorn.error", "service.serving", "service.api.request_context", "py.warnings", "stderr"} <= {
        line["logger"] for line in lines
    }
    messages = [line["message"] for line in lines]
    assert any(re.fullmatch(r"ready: fake at http://127\.0\.0\.1:\d+", message) for message in messages)
    assert any(message.startswith("warming 1 of ") for message in messages)
    assert not any(message.startswith("Uvicorn running") for message in messages)
    (request,) = [line for line in lines if line.get("request_id") == "order-17"]
    assert request["message"] == "POST /ner 200"
