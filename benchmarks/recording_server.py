"""`bigbird serve` that writes down every batch it runs, so that the same batches can be run without the server.

python -m benchmarks.recording_server FILE     settings from the environment, as always
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TextIO

import httpx

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.session import Batch, CapturingSession, Outputs, RunControl, Session, Shape
from service.models.loading import load_models
from service.process.server import serve
from service.settings import Settings, load_settings

_READY_SECONDS = 600


@dataclass(frozen=True, slots=True)
class RecordedRun:
    """A batch that the server ran.

    Attributes:
        bucket: Padded length in tokens.
        lengths: Real tokens of each row.
        seconds: Duration of the session's run.
    """

    bucket: int
    lengths: list[int]
    seconds: float


class RecordingSession:
    """Runs another session and writes a line for each run."""

    def __init__(self, session: Session, record: TextIO) -> None:
        self._session = session
        self._record = record

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        start = time.perf_counter()
        outputs = self._session.run(batch, control)
        seconds = time.perf_counter() - start
        lengths = batch.attention_mask.sum(axis=1).tolist()
        self._record.write(json.dumps(asdict(RecordedRun(batch.input_ids.shape[1], lengths, seconds))) + "\n")
        self._record.flush()
        return outputs


class RecordingCapturingSession(RecordingSession):
    """Runs another session that records CUDA graphs; warm-up must see that it does."""

    def capture(self, shapes: Sequence[Shape]) -> Sequence[Shape]:
        assert isinstance(self._session, CapturingSession)
        return self._session.capture(shapes)

    def drop_wrong_captures(self) -> Sequence[Shape]:
        assert isinstance(self._session, CapturingSession)
        return self._session.drop_wrong_captures()


@dataclass(frozen=True, slots=True)
class RecordingServer:
    """A server that is ready, and what it has run since it was asked last."""

    port: int
    process: subprocess.Popen[bytes]
    record: TextIO

    def new_runs(self) -> list[RecordedRun]:
        """Return the runs since the last call; a server that has answered has written all of them down."""
        return [RecordedRun(**json.loads(line)) for line in self.record]


@contextlib.contextmanager
def recording_server(models: Path, environment: Mapping[str, str] | None = None) -> Iterator[RecordingServer]:
    """Serve the bundles of a folder on a free loopback port.

    Args:
        models: Folder of bundles.
        environment: More variables for the server, `BIGBIRD_...`.

    Raises:
        RuntimeError: It ended or was not ready in time; the message holds what it printed.
    """
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryFile() as log, tempfile.TemporaryDirectory() as folder:
        record_file = Path(folder) / "runs.jsonl"
        record_file.touch()
        record = record_file.open(encoding="ascii")
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.recording_server", str(record_file)],
            env={
                **os.environ,
                **(environment or {}),
                "BIGBIRD_MODELS": str(models),
                "BIGBIRD_PORT": str(port),
            },
            stderr=log,
        )
        try:
            if not _becomes_ready(f"http://127.0.0.1:{port}/health/ready", process):
                log.seek(0)
                raise RuntimeError(f"the server is not ready: {log.read().decode(errors='replace')}")
            server = RecordingServer(port, process, record)
            server.new_runs()  # those of the warm-up
            yield server
        finally:
            record.close()
            process.send_signal(signal.SIGTERM)
            process.wait()


def _becomes_ready(url: str, process: subprocess.Popen[bytes]) -> bool:
    deadline = time.monotonic() + _READY_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(url).status_code == httpx.codes.OK:
                return True
        time.sleep(0.1)
    return False


def main(record_file: Path) -> int:
    """Serve until SIGTERM."""
    with record_file.open("w", encoding="ascii") as record:

        def load(settings: Settings) -> Mapping[str, LoadedModel]:
            return {name: _recorded(model, record) for name, model in load_models(settings).items()}

        return serve(load_settings(), load)


def _recorded(model: LoadedModel, record: TextIO) -> LoadedModel:
    sessions = {
        attention: [_recording(session, record) for session in own] for attention, own in model.sessions.items()
    }
    return replace(model, sessions=sessions)


def _recording(session: Session, record: TextIO) -> RecordingSession:
    kind = RecordingCapturingSession if isinstance(session, CapturingSession) else RecordingSession
    return kind(session, record)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
