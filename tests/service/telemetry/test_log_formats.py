import asyncio
import gc
import io
import json
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from bigbird_inference.errors import InferenceFailed
from service.settings import LogFormat
from service.telemetry.logs import log_handler, with_fields


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@contextmanager
def logging_to(stream: io.StringIO, name: str, log_format: LogFormat = "json") -> Iterator[logging.Logger]:
    """A logger of this name that writes to the stream and nowhere else."""
    logger = logging.getLogger(name)
    handler = log_handler(stream, log_format)
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
    ("log_format", "stream", "is_json"),
    [
        pytest.param("auto", io.StringIO(), True, id="a file gets JSON"),
        pytest.param("auto", Terminal(), False, id="a terminal gets text"),
        pytest.param("json", Terminal(), True, id="JSON on a terminal if asked for"),
        pytest.param("text", io.StringIO(), False, id="text in a file if asked for"),
    ],
)
def test_the_format_goes_by_the_stream_unless_it_is_chosen(
    log_format: LogFormat, stream: io.StringIO, is_json: bool
) -> None:
    with logging_to(stream, "service.api.x", log_format) as logger:
        logger.info("hello")
    assert stream.getvalue().startswith("{") == is_json


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
