"""Start `bigbird serve` as its own process, wait until it is ready, stop it with SIGTERM."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx

# The state of a socket in /proc/net/tcp.
_LISTENS = "0A"


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answered `/health/ready`, its process, and the file that it logs to."""

    url: str
    process: subprocess.Popen[bytes]
    log: BinaryIO

    def stop(self, timeout_seconds: float = 60) -> int:
        """Ask it to drain and return its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=timeout_seconds)


@contextlib.contextmanager
def running_server(
    models: Path, environment: Mapping[str, str] | None = None, ready_seconds: float = 120
) -> Iterator[RunningServer]:
    """Serve the bundles of a folder on a free loopback port.

    Args:
        models: Folder of bundles.
        environment: More variables for the server, `BIGBIRD_...`.
        ready_seconds: How long it may take to load and warm.

    Raises:
        RuntimeError: It ended or was not ready in time; the message holds what it printed.
    """
    command = [sys.executable, "-m", "bigbird_cli", "serve", "--models", str(models), "--port", "0"]
    with running_command(command, environment, ready_seconds) as server:
        yield server


@contextlib.contextmanager
def running_command(
    command: Sequence[str], environment: Mapping[str, str] | None = None, ready_seconds: float = 120
) -> Iterator[RunningServer]:
    """Run a command that becomes the service on a port of its choice; the rest is as for `running_server`."""
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stderr=log)
        try:
            yield _ready_server(process, log, ready_seconds)
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def listening_port(process: int) -> int:
    """Return the port that a process listens on, or 0 if there is none yet (Linux)."""
    folder = Path(f"/proc/{process}")
    own = {re.sub(r"\D", "", str(link)) for link in _links(folder / "fd")}
    for line in (folder / "net" / "tcp").read_text().splitlines()[1:]:
        _, local, _, state, *_, inode = line.split()[:10]
        if state == _LISTENS and inode in own:
            return int(local.partition(":")[2], 16)
    return 0


def _links(folder: Path) -> Iterator[str]:
    for path in folder.iterdir():
        with contextlib.suppress(OSError):  # a file that was closed meanwhile
            yield os.readlink(path)


def _ready_server(process: subprocess.Popen[bytes], log: BinaryIO, ready_seconds: float) -> RunningServer:
    deadline = time.monotonic() + ready_seconds
    port = 0
    # To make a client for each question would take more of the processor than to ask.
    with httpx.Client() as client:
        while time.monotonic() < deadline:
            if process.poll() is not None:
                log.seek(0)
                raise RuntimeError(f"the server ended with status {process.returncode}: {log.read().decode()}")
            with contextlib.suppress(OSError, httpx.TransportError):
                port = port or listening_port(process.pid)
                server = RunningServer(f"http://127.0.0.1:{port}", process, log)
                if port and client.get(f"{server.url}/health/ready").status_code == httpx.codes.OK:
                    return server
            time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {ready_seconds:.0f} s")
