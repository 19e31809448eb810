"""The server under test as a process, and everything about it that can be seen from outside: answers, counters, log
lines, memory, files, threads, tasks.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.running_server import listening_port

ROOT = Path(__file__).resolve().parents[2]
BUNDLES_VARIABLE = "BIGBIRD_TESTS_SOAK_BUNDLES"
TASKS = ("qa", "classify", "ner")


def demo_bundles() -> Path:
    """Return the folder of the demo bundles: that of the variable, or one into which they are exported now."""
    if BUNDLES_VARIABLE not in os.environ:
        folder = Path(tempfile.mkdtemp(prefix="bigbird-soak-"))
        for task in TASKS:
            checkpoint = ROOT / "examples" / "checkpoints" / f"demo-{task}"
            command = ["export", str(checkpoint), "--output", str(folder / f"demo-{task}")]
            subprocess.run([sys.executable, "-m", "bigbird_cli", *command], cwd=ROOT, check=True)
        os.environ[BUNDLES_VARIABLE] = str(folder)
    return Path(os.environ[BUNDLES_VARIABLE])


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a process holds."""

    files: int
    threads: int
    tasks: int
    in_flight: float
    queued: float


@dataclass(slots=True)
class Served:
    """A server that is ready.

    Attributes:
        process: It.
        host: Where it listens.
        port: Its port.
        log: Everything that it has written to standard error.
    """

    process: subprocess.Popen[str]
    host: str
    port: int
    log: Path

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    @property
    def alive(self) -> bool:
        return self.process.poll() is None

    def resident_bytes(self) -> int:
        return self._memory("VmRSS")

    def peak_resident_bytes(self) -> int:
        """Return the most since the start, or since 5 was written to its `clear_refs`."""
        return self._memory("VmHWM")

    def _memory(self, kind: str) -> int:
        for line in Path(f"/proc/{self.process.pid}/status").read_text().splitlines():
            if line.startswith(f"{kind}:"):
                return int(line.split()[1]) * 1024
        raise RuntimeError("the server has no memory: it is gone")

    def metrics(self) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
        """Return every sample by its name and sorted labels."""
        text = httpx.get(f"{self.url}/metrics", timeout=60).text
        return {
            (sample.name, tuple(sorted(sample.labels.items()))): sample.value
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        }

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of a metric's samples that have these labels."""
        wanted = set(labels.items())
        return sum(value for (sample, own), value in self.metrics().items() if sample == name and wanted <= set(own))

    def status(self, path: str) -> int:
        return httpx.get(f"{self.url}{path}", timeout=60).status_code

    def footprint(self) -> Footprint:
        """Look at it from outside; nobody else may be connected."""
        folder = Path(f"/proc/{self.process.pid}")
        metrics = self.metrics()
        queued = sum(value for (name, _), value in metrics.items() if name == "bigbird_queue_depth")
        in_flight = metrics["bigbird_requests_in_flight", ()] - 1  # the question itself
        self.process.send_signal(signal.SIGUSR1)
        assert self.process.stdout is not None
        tasks = int(self.process.stdout.readline())
        files, threads = (len(list((folder / what).iterdir())) for what in ("fd", "task"))
        return Footprint(files, threads, tasks, in_flight, queued)

    def settled_footprint(self, expected: Footprint | None = None, patience_seconds: float = 20) -> Footprint:
        """Look until it is as expected, or time is up: connections that were kept alive end after some seconds."""
        ends_at = time.monotonic() + patience_seconds
        while True:
            found = self.footprint()
            if found == expected or time.monotonic() > ends_at:
                return found
            time.sleep(0.5)

    def log_lines(self) -> Iterator[dict[str, Any]]:
        """Yield the log's lines."""
        with self.log.open(encoding="utf-8") as lines:
            for line in lines:
                yield json.loads(line)

    def complaints(self) -> list[str]:
        """Return what the log has at level error or above."""
        return [
            f"{line['level']}: {line['logger']}: {line['message']}"
            for line in self.log_lines()
            if line["level"] in ("error", "critical")
        ]


@contextlib.contextmanager
def served(*command: str, ready_seconds: float = 180, environment: dict[str, str] | None = None) -> Iterator[Served]:
    """Run a server on a free loopback port, which the system chooses.

    Args:
        command: Arguments of Python; the server's port in them is 0.
        ready_seconds: How long it may take until it is ready.
        environment: More variables.
    """
    with tempfile.TemporaryDirectory(prefix="bigbird-served-") as folder:
        log = Path(folder) / "log"
        with log.open("wb") as stderr:
            process = subprocess.Popen(
                [sys.executable, *command],
                cwd=ROOT,
                env={**os.environ, "BIGBIRD_LOG_FORMAT": "json", **(environment or {})},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
                text=True,
            )
        server = Served(process, "127.0.0.1", 0, log)
        try:
            wait_until_ready(server, ready_seconds)
            yield server
        finally:
            process.kill()
            process.communicate()


def demo_server(**settings: object) -> contextlib.AbstractContextManager[Served]:
    """Serve the demo bundles with `bigbird serve`."""
    flags = [part for name, value in settings.items() for part in (f"--{name.replace('_', '-')}", str(value))]
    module = ("-m", "tests.reliability.observed_server", "serve", "--models", str(demo_bundles()))
    return served(*module, "--port", "0", *flags)


def wait_until_ready(server: Served, seconds: float) -> None:
    """Wait until it listens, and accepts requests.

    Raises:
        RuntimeError: It ended or took longer; the message holds the end of its log.
    """
    ends_at = time.monotonic() + seconds
    with httpx.Client(timeout=60) as client:
        while server.alive and time.monotonic() < ends_at:
            # A process that ends has no folder to look into.
            with contextlib.suppress(httpx.TransportError, OSError):
                server.port = server.port or listening_port(server.process.pid)
                if server.port and client.get(f"{server.url}/health/ready").status_code == 200:
                    return
            time.sleep(0.1)
    tail = server.log.read_text(encoding="utf-8", errors="replace")[-2000:]
    raise RuntimeError(f"the server is not ready (status {server.process.poll()}): {tail}")


@dataclass(slots=True)
class MemoryWatch:
    """Samples a server's resident memory on a thread of its own.

    Attributes:
        server: Whose.
        seconds: Between two samples.
        samples: What was seen, in order.
    """

    server: Served
    seconds: float = 0.5
    samples: list[int] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def __enter__(self) -> "MemoryWatch":
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        assert self._thread is not None
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self.seconds):
            with contextlib.suppress(OSError, RuntimeError):
                self.samples.append(self.server.resident_bytes())

    def growth(self, settled: float) -> float:
        """Return by what share the highest value after a share of the time is above the highest before it."""
        first = max(1, round(len(self.samples) * settled))
        before, after = self.samples[:first], self.samples[first:]
        return max(after, default=0) / max(before) - 1 if before and after else 0.0

    def tenths(self) -> list[int]:
        """Return the highest value of each tenth of the time."""
        size = max(1, -(-len(self.samples) // 10))
        return [max(self.samples[first : first + size]) for first in range(0, len(self.samples), size)]


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value below which a share of them lies; 0 of none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
