"""The server as a process: start-up failures, and a drain on SIGTERM."""

import contextlib
import http.client
import json
import logging
import os
import resource
import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from bigbird_inference.bundle import write_manifest
from service.process.server import _fit_open_files
from tests.fake_model import fake_manifest

ROOT = Path(__file__).parents[3]

# Serves a model whose runs wait for a line on standard input. It prints its port, and a line for each run that waits.
SERVER = """
import sys, uvicorn
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import FakeSession, fake_loaded_model

def wait(batch):
    if batch.input_ids.any():
        print("running", flush=True)
        sys.stdin.readline()

def load(settings):
    return {"fake": fake_loaded_model("ner", "fake", FakeSession(wait))}

start = uvicorn.Server.startup

async def startup(self, sockets=None):
    await start(self, sockets)
    await self._app.state.serving.warmed()
    print(self.servers[0].sockets[0].getsockname()[1], flush=True)

uvicorn.Server.startup = startup
sys.exit(serve(Settings(port=0, **%s), load))
"""


class ServerProcess:
    """A server with the model above, ready for requests."""

    def __init__(self, **settings: float) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER % settings],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.port = int(self.read_line())

    def read_line(self) -> str:
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line, self.process.communicate()[1]
        return line.strip()

    def let_run(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write("\n")
        self.process.stdin.flush()

    def post(self, text: str) -> http.client.HTTPConnection:
        """Send a request for entities and return the connection that its answer comes from."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        connection.request("POST", "/ner", json.dumps({"text": text}), {"content-type": "application/json"})
        return connection

    def status(self, path: str) -> int | None:
        """Return a path's status, or None if nobody listens any more."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            connection.request("GET", path)
            return connection.getresponse().status
        except ConnectionError:
            return None
        finally:
            connection.close()

    def __enter__(self) -> "ServerProcess":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.kill()
        self.process.communicate()


def test_sigterm_answers_what_was_accepted_refuses_the_rest_and_exits_with_0() -> None:
    with ServerProcess() as server, closing(server.post("10")) as accepted:
        assert server.read_line() == "running"
        assert server.status("/health/ready") == 200
        server.process.send_signal(signal.SIGTERM)
        while server.status("/health/ready") == 200:
            pass  # each round is an answer of the server, which hears the signal within a few
        # From here on a new connection meets a refusal, or nobody: the listening socket closes soon.
        with contextlib.suppress(ConnectionError), closing(server.post("20")) as late:
            assert late.getresponse().status == 503
        server.let_run()
        answer = accepted.getresponse()
        assert answer.status == 200
        assert json.loads(answer.read())["entities"][0]["score"] == 13.0
        assert server.process.wait(timeout=60) == 0


def test_while_it_leaves_it_is_not_ready_and_answers_and_a_second_signal_ends_it_quietly() -> None:
    with ServerProcess(drain_delay_seconds=3600) as server:
        server.process.send_signal(signal.SIGTERM)
        while server.status("/health/ready") == 200:
            pass  # each round is an answer of the server, which hears the signal within a few
        assert server.status("/health/ready") == 503
        with closing(server.post("10")) as late:
            assert server.read_line() == "running"
            server.let_run()
            answer = late.getresponse()
            assert (answer.status, answer.headers["connection"]) == (200, "close")
        server.process.send_signal(signal.SIGTERM)
        _, log = server.process.communicate(timeout=60)
        assert "Traceback" not in log
        assert (server.process.returncode, json.loads(log.splitlines()[-1])["level"]) == (1, "warning")


def test_after_the_drain_delay_it_drains() -> None:
    with ServerProcess(drain_delay_seconds=0.1) as server:
        server.process.send_signal(signal.SIGTERM)
        assert server.process.wait(timeout=60) == 0
        assert server.process.stderr is not None
        lines = [
            line.rsplit(maxsplit=1)[0] for line in server.process.stderr if "leaving:" in line or "draining:" in line
        ]
        assert len(lines) == 2


def test_what_cannot_be_finished_within_the_drain_timeout_is_answered_with_an_error_and_exits_with_0() -> None:
    with ServerProcess(drain_timeout_seconds=0) as server, closing(server.post("10")) as accepted:
        assert server.read_line() == "running"
        server.process.send_signal(signal.SIGTERM)
        answer = accepted.getresponse()
        assert answer.status == 503
        assert json.loads(answer.read())["code"] == "draining"
        assert server.process.wait(timeout=60) == 0


@pytest.mark.parametrize("case", ["no bundle", "missing file", "unknown version"])
def test_a_bundle_that_cannot_be_served_stops_the_start_with_one_line_that_names_the_file(
    case: str, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    folder.mkdir()
    expected = {"no bundle": str(tmp_path), "missing file": "weights.bin", "unknown version": "format_version is 99"}
    if case != "no bundle":
        write_manifest(fake_manifest("ner"), folder)
    if case == "unknown version":
        path = folder / "manifest.json"
        path.write_text(path.read_text().replace('"format_version": 2', '"format_version": 99'))
    program = (
        "import sys; from service.process.server import serve; from service.settings import Settings\n"
        "sys.exit(serve(Settings(models=sys.argv[1], port=0)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"BIGBIRD_PROT": "8001"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 1
    misspelt, line = done.stderr.splitlines()
    assert expected[case] in line
    assert "BIGBIRD_PROT is set, but is not a setting and changes nothing; did you mean BIGBIRD_PORT?" in misspelt


@pytest.mark.parametrize(
    ("soft", "hard", "raised_to", "connections"),
    [
        (1024, 1_048_576, 64 + 64 + 1024 + 2048, 1024),
        (1024, resource.RLIM_INFINITY, 64 + 64 + 1024 + 2048, 1024),
        (1_048_576, 1_048_576, None, 1024),
        (1024, 4096, 64 + 64 + 1024 + 2048, 1024),
        (1024, 2048, 2048, 1024),
        (256, 256, None, 96),
        (64, 64, None, 1),
    ],
    ids=["usual", "unlimited", "raised already", "enough", "less waiting", "small", "too few"],
)
def test_connections_fit_into_the_limit_of_open_files(
    soft: int,
    hard: int,
    raised_to: int | None,
    connections: int,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    raised: list[tuple[int, int]] = []
    monkeypatch.setattr(resource, "getrlimit", lambda _: (soft, hard))
    monkeypatch.setattr(resource, "setrlimit", lambda _, limits: raised.append(limits))
    caplog.set_level(logging.WARNING)
    fitting, waiting = _fit_open_files(1024)
    assert raised == ([] if raised_to is None else [(raised_to, hard)])
    assert fitting == connections
    # Beside them: 64 that are refused or only asked, and 64 files of the server's own.
    files = max(raised_to or soft, 130)
    assert 1 <= waiting <= 2048 and fitting + waiting + 64 + 64 <= files
    assert [record.args for record in caplog.records] == ([(hard, connections, 1024)] if connections < 1024 else [])
