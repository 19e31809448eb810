"""Start `bigbird serve` as its own process, wait until it is ready, stop it with SIGTERM."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import httpx


@dataclass(frozen=True, slots=True)
class RunningServer:
    """A server that answered `/health/ready`, and its process."""

    url: str
    process: subprocess.Popen[bytes]

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
    port = _free_port()
    command = [sys.executable, "-m", "bigbird_cli", "serve", "--models", str(models), "--port", str(port)]
    with tempfile.TemporaryFile() as log:
        process = subprocess.Popen(command, env={**os.environ, **(environment or {})}, stderr=log)
        server = RunningServer(f"http://127.0.0.1:{port}", process)
        try:
            _wait_until_ready(server, log, ready_seconds)
            yield server
        finally:
            if process.poll() is None:
                process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_ready(server: RunningServer, log: BinaryIO, ready_seconds: float) -> None:
    deadline = time.monotonic() + ready_seconds
    while time.monotonic() < deadline:
        if server.process.poll() is not None:
            log.seek(0)
            raise RuntimeError(f"the server ended with status {server.process.returncode}: {log.read().decode()}")
        with contextlib.suppress(httpx.TransportError):
            if httpx.get(f"{server.url}/health/ready").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise RuntimeError(f"the server was not ready after {ready_seconds:.0f} s")
