"""Standard error as the server's log: a reader that stops, no reader, no standard error, native libraries, a crash."""

import fcntl
import http.client
import json
import logging
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from service.process.standard_error import LogWriter

ROOT = Path(__file__).parents[3]
# Linux's least: one page.
SMALL_PIPE = 4096

# Prints its port when it is ready.
SERVER = """
import sys, uvicorn
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import fake_loaded_model

start = uvicorn.Server.startup

async def startup(self, sockets=None):
    await start(self, sockets)
    await self._app.state.serving.warmed()
    print(self.servers[0].sockets[0].getsockname()[1], flush=True)

uvicorn.Server.startup = startup
sys.exit(serve(Settings(port=0), lambda settings: {"fake": fake_loaded_model("ner", "fake")}))
"""


def small_pipe() -> tuple[int, int]:
    reading, writing = os.pipe()
    fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, SMALL_PIPE)
    return reading, writing


class Server:
    """The server above; `redirection` is what a shell does with its standard error."""

    def __init__(self, standard_error: int | None = None, redirection: str = "") -> None:
        command = ["sh", "-c", f'exec "$0" -c "$1" {redirection}', sys.executable, SERVER]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=standard_error, text=True)
        assert self.process.stdout is not None
        self.connection = http.client.HTTPConnection("127.0.0.1", int(self.process.stdout.readline()), timeout=60)

    def ask(self, name: str) -> int:
        headers = {"content-type": "application/json", "x-request-id": name}
        self.connection.request("POST", "/ner", '{"text": "10"}', headers)
        answer = self.connection.getresponse()
        answer.read()
        return answer.status

    def read(self, path: str) -> str:
        self.connection.request("GET", path)
        return self.connection.getresponse().read().decode()

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


@contextmanager
def running(standard_error: int | None = None, redirection: str = "") -> Iterator[Server]:
    server = Server(standard_error, redirection)
    try:
        yield server
    finally:
        server.connection.close()
        server.process.kill()
        server.process.communicate()


def printed(code: str, *options: str) -> "subprocess.CompletedProcess[str]":
    """Run a program whose log has begun, and return what came of it."""
    code = "import logging, os, signal\nfrom service.process.standard_error import start_log\n" + code
    return subprocess.run(
        [sys.executable, *options, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False, timeout=60
    )


def test_a_log_that_nobody_reads_holds_up_nothing() -> None:
    reading, writing = small_pipe()
    with os.fdopen(reading, "rb"), running(writing) as server:
        os.close(writing)
        assert {server.ask(f"order-{number}") for number in range(100)} == {200}
        assert json.loads(server.read("/health/ready"))["status"] == "ready"
        assert server.end() == 0


def test_what_has_waited_for_a_reader_is_all_there_and_in_order() -> None:
    reading, writing = small_pipe()
    with os.fdopen(reading, encoding="utf-8") as log, running(writing) as server:
        os.close(writing)
        names = [f"order-{number}" for number in range(100)]
        for name in names:
            server.ask(name)
        lines: list[str] = []
        reader = threading.Thread(target=lambda: lines.extend(log))
        reader.start()
        assert server.end() == 0
        reader.join(60)
    told = [json.loads(line) for line in lines]
    assert [line["request_id"] for line in told if "request_id" in line] == names
    assert told[-1]["message"].startswith("Finished server process")


def test_without_standard_error_it_serves_and_ends_as_usual() -> None:
    with running(redirection="2>&-") as server:
        assert server.ask("order-17") == 200
        assert server.end() == 0


def test_lines_that_cannot_be_written_are_counted() -> None:
    with running(redirection="2>/dev/full") as server:
        server.ask("order-17")
        metrics = server.read("/metrics")
        dropped = re.search(r"^bigbird_dropped_log_lines_total (\S+)$", metrics, re.MULTILINE)
        assert dropped is not None and float(dropped[1]) > 0
        assert server.end() == 0


@pytest.mark.parametrize("blocking", [True, False], ids=["writing blocks", "writing fails"])
def test_where_lines_were_dropped_their_number_stands_and_a_critical_one_is_kept(blocking: bool) -> None:
    reading, writing = small_pipe()
    os.set_blocking(writing, blocking)
    writer = LogWriter(writing, max_bytes=3000)
    writer.setFormatter(logging.Formatter("%(message)100s"))
    writer.start()

    for number in range(300):  # 30,000 bytes, for 7,000 of which there is room
        level = logging.CRITICAL if number == 200 else logging.INFO
        writer.handle(logging.makeLogRecord({"msg": str(number), "levelno": level}))
    assert writer.dropped >= 200
    lines: list[str] = []
    with open(reading, encoding="utf-8") as log:
        reader = threading.Thread(target=lambda: lines.extend(log))
        reader.start()
        writer.close()
        os.close(writing)
        reader.join(60)
    read: list[int] = []
    missing = 0
    for line in lines:
        gap = re.match(r" *(\d+) lines are missing here", line)
        if gap:
            missing += int(gap[1])
        else:
            read.append(int(line))
            assert read[-1] == len(read) + missing - 1
    assert 200 in read and missing == writer.dropped and len(read) + missing == 300


@pytest.mark.parametrize(
    ("end", "last"),
    [
        pytest.param("", [], id="the usual end"),
        pytest.param("logging.shutdown(); os._exit(0)", [], id="an end at once"),
        pytest.param("logging.critical('oh'); os.kill(os.getpid(), signal.SIGKILL)", ["oh"], id="a kill"),
        pytest.param("raise ValueError", ["uncaught exception"], id="an exception"),
    ],
)
def test_what_is_queued_is_written_before_the_process_ends(end: str, last: list[str]) -> None:
    done = printed(f"start_log('info', 'json')\nfor number in range(3000): logging.info('%d', number)\n{end}")
    lines = [json.loads(line)["message"] for line in done.stderr.splitlines()]
    assert lines == [*map(str, range(3000)), *last]


@pytest.mark.parametrize(
    ("written", "messages"),
    [
        pytest.param(
            b"\x1b[1;31m2026-11-28 [E:onnxruntime:, x.cc:1 Run] no\x1b[m\n\n\ta \xff\n",
            ["2026-11-28 [E:onnxruntime:, x.cc:1 Run] no", r"a \xff"],
            id="colours, blank lines, other encodings",
        ),
        pytest.param(b"without an end", ["without an end"], id="the last one has no end"),
        pytest.param(b"x" * 5000, ["x" * 4096, "x" * 904], id="a long line is cut up"),
    ],
)
def test_what_libraries_print_becomes_lines_of_the_log(written: bytes, messages: list[str]) -> None:
    done = printed(f"start_log('info', 'json')\nos.write(2, {written!r})")
    lines = [json.loads(line) for line in done.stderr.splitlines()]
    assert [line["message"] for line in lines] == messages
    assert {(line["level"], line["logger"]) for line in lines} == {("warning", "stderr")}


def test_a_library_that_prints_more_than_a_pipe_holds_does_not_wait() -> None:
    # PyDLL keeps the interpreter's lock, without which no thread could empty the pipe.
    done = printed("import ctypes\nstart_log('info', 'json')\nctypes.PyDLL(None).write(2, b'x' * 10**6, 10**6)")
    assert done.returncode == 0
    assert all(json.loads(line)["message"] == "x" * 4096 for line in done.stderr.splitlines())


def test_python_can_still_tell_where_it_was_when_it_crashes() -> None:
    done = printed("start_log('info', 'json')\nos.abort()", "-X", "faulthandler")
    assert "Fatal Python error: Aborted" in done.stderr


def test_a_terminal_shows_what_libraries_print_as_it_is() -> None:
    code = (
        "import os\nfrom service.process.standard_error import start_log\n"
        "start_log('info', 'auto')\nos.write(2, b'native words')"
    )
    terminal, inside = os.openpty()
    with closing(os.fdopen(terminal, "rb", buffering=0)) as output:
        subprocess.run([sys.executable, "-c", code], cwd=ROOT, stderr=inside, check=True, timeout=60)
        assert output.read(100) == b"native words"
    os.close(inside)
