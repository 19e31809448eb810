"""What Python would print by itself: it becomes lines of the log, without tracebacks, paths and texts."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
PRELUDE = """
import logging, sys, threading, warnings
from service.telemetry.logs import log_handler, with_fields
from service.telemetry.logs import log_what_python_would_print
logging.basicConfig(level="INFO", handlers=[log_handler(sys.stderr, "{log_format}")])
log_what_python_would_print()

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
