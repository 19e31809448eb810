"""The log as the service writes it, caught in memory."""

import io
import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from service.settings import LogFormat
from service.telemetry.logs import line_format

# Everything that runs in the server's process; the client of the tests, which runs there too, logs what it asks for.
_LOGGERS = ("asyncio", "fastapi", "opentelemetry", "service", "uvicorn")


class CapturedLog(io.StringIO):
    """What was written."""

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.getvalue().splitlines()]

    @property
    def requests(self) -> list[dict[str, Any]]:
        """The lines of requests."""
        return [line for line in self.lines if "duration_ms" in line]


@contextmanager
def captured_log(log_format: LogFormat = "json", level: int = logging.INFO) -> Iterator[CapturedLog]:
    stream = CapturedLog()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(line_format(log_format, terminal=False))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(level)
    yield stream
    for logger, before in zip(loggers, levels, strict=True):
        logger.removeHandler(handler)
        logger.setLevel(before)
