"""The server that the fuzzers attack, `bigbird serve` in a process of its own, and what must not happen to it."""

import contextlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import httpx

from benchmarks.running_server import RunningServer, running_server
from tests.reliability.small_bundles import write_small_bundles

GOOD_REQUEST = {"text": "Maria Okafor signed for Halden Works in Bergen."}
_GOOD_PATH = "/ner"
# One thread: what is fuzzed is the way to the model, not the model.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "BIGBIRD_THREADS": "1", "BIGBIRD_WARM_UP_SECONDS": "0"}
_PROBE_SECONDS = 30.0
# A server that takes no more of them is broken, whatever it answers on an old one.
_NEW_CONNECTIONS = httpx.Limits(max_keepalive_connections=0)


@dataclass(frozen=True, slots=True)
class FuzzedServer:
    """A server under attack.

    Attributes:
        running: Its address and process.
        expected: Its answer to the good request, before anything else was asked.
        headers: What every request needs.
        client: Of questions beside the attack; it sends them.
    """

    running: RunningServer
    expected: object
    headers: Mapping[str, str]
    client: httpx.Client

    @property
    def port(self) -> int:
        return int(self.running.url.rsplit(":", 1)[1])

    def wrong_with_it(self) -> str | None:
        """Ask the good request; return what is wrong with the answer or with the process, or None."""
        if self.running.process.poll() is not None:
            return f"the server ended with status {self.running.process.returncode}"
        try:
            answer = _ask(self.client)
        except (httpx.HTTPError, KeyError, ValueError) as error:
            return f"a good request was not answered: {error!r}"
        return None if answer == self.expected else f"a good request was answered with {answer}"

    def resident_bytes(self) -> int:
        """Return the server's resident memory now."""
        pages = Path(f"/proc/{self.running.process.pid}/statm").read_text().split()[1]
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def log(self) -> str:
        """Return what it has written."""
        descriptor = self.running.log.fileno()
        # Without moving the place where the process writes next.
        return os.pread(descriptor, os.fstat(descriptor).st_size, 0).decode("utf-8", "replace")

    def faults_in_log(self) -> list[str]:
        """Return the lines of errors; none belongs there, whatever clients send."""
        marks = ('"level": "error"', '"level": "critical"', "Traceback")
        return [line[:2000] for line in self.log().splitlines() if any(mark in line for mark in marks)]


@contextlib.contextmanager
def fuzzed_server(
    environment: Mapping[str, str] | None = None, headers: Mapping[str, str] | None = None
) -> Iterator[FuzzedServer]:
    """Serve a small model of every task.

    Args:
        environment: More variables for the server.
        headers: What every request needs, keys for example.
    """
    with tempfile.TemporaryDirectory() as folder:
        write_small_bundles(Path(folder))
        with (
            running_server(Path(folder), {**_ENVIRONMENT, **(environment or {})}) as running,
            httpx.Client(
                base_url=running.url, headers=headers, timeout=_PROBE_SECONDS, limits=_NEW_CONNECTIONS
            ) as client,
        ):
            yield FuzzedServer(running, _ask(client), headers or {}, client)


def _ask(client: httpx.Client) -> object:
    return client.post(_GOOD_PATH, json=GOOD_REQUEST).json()["entities"]
