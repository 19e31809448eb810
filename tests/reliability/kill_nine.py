"""kill -9 of exports and of servers at random moments: nothing half-written is loaded, and the next start works."""

import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import httpx

from benchmarks.running_server import listening_port
from bigbird_inference.bundle import open_bundle
from tests.reliability.report import Report

ROOT = Path(__file__).parents[2]
KILLED_EXPORTS = 50
KILLED_SERVERS = 50
RACES = 10

_READY_SECONDS = 120
_SECONDS = 1200
# What is left of a killed export lies beside the bundle while it is served.
_LEFTOVER = ".classifier.building-abcd1234"
_TEXT = "the quick brown fox"


def run(scale: float) -> Report:
    """Kill exports, then servers of what they made.

    Args:
        scale: 1 for 50 kills of each.
    """
    exports, servers = (max(3, round(count * scale)) for count in (KILLED_EXPORTS, KILLED_SERVERS))
    with tempfile.TemporaryDirectory() as folder:
        exported = _kill_exports(Path(folder) / "exports", exports, max(1, round(RACES * scale)))
        failures = list(exported["failures"])
        models = Path(exported["bundle"]).parent
        half = models / _LEFTOVER
        shutil.copytree(exported["bundle"], half)
        os.truncate(half / "weights.bin", 100)
        killed = KilledServers(models)
        killed.run(servers)
        failures += killed.failures
    return Report(
        area="kill_nine",
        inputs=exports + servers,
        failures=tuple(failures),
        wrong=killed.wrong,
        injected=exports + servers,
        facts={
            "exports killed": f"{exports} ({exported['kills']['while renaming']} while renaming)",
            "exports to one place at once": f"{max(1, round(RACES * scale))} times 3",
            "servers killed": f"{servers} ({killed.while_starting} while starting)",
            "next start of a killed server": f"{killed.slowest_start:.1f} s at most",
        },
    )


def _kill_exports(folder: Path, kills: int, races: int) -> dict[str, Any]:
    command = [sys.executable, "-m", "tests.reliability.killed_exports", str(folder), str(kills), str(races), "0"]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False)
    if ended.returncode != 0:
        raise RuntimeError(f"the exports ended with status {ended.returncode}: {ended.stderr[-2000:]}")
    outcome: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return outcome


class KilledServers:
    """Starts `bigbird serve` again and again, and kills it while it starts or while it answers.

    Args:
        models: The folder that it serves.
    """

    def __init__(self, models: Path) -> None:
        self.failures: list[str] = []
        self.wrong = 0
        self.while_starting = 0
        self.slowest_start = 0.0
        self._models = models
        self._chance = random.Random(0)
        self._expected: object = None

    def run(self, kills: int) -> None:
        """Serve once to learn the right answer, then kill, and serve once more."""
        usual = self._serve(0.1)
        for _ in range(kills):
            # A third of the kills comes after the start.
            self._serve(self._chance.uniform(-usual, usual / 2))
            open_bundle(self._models / "classifier")
        self._serve(0.1)

    def _serve(self, seconds_after_ready: float) -> float:
        """Start a server and kill it so long after it is ready, or so long before it will be by the slowest start.

        Returns:
            The slowest start so far, in seconds.
        """
        with tempfile.TemporaryFile() as log:
            began = time.monotonic()
            process = _start(self._models, log)
            try:
                if seconds_after_ready < 0:
                    moment = began + max(0.0, self.slowest_start + seconds_after_ready)
                    started = self._wait_until_ready(process, moment)
                    self.while_starting += started is None
                else:
                    started = self._wait_until_ready(process, began + _READY_SECONDS)
                    if started is None:
                        self.failures.append("a server was not ready in time")
                if process.poll() is not None:
                    log.seek(0)
                    self.failures.append(f"a server ended by itself: {log.read()[-500:].decode(errors='replace')}")
                if started is not None:
                    self.slowest_start = max(self.slowest_start, started - began)
                    self._ask_until_killed(process, max(0.1, seconds_after_ready))
            finally:
                process.send_signal(signal.SIGKILL)
                process.wait()
        return self.slowest_start

    def _wait_until_ready(self, process: subprocess.Popen[bytes], moment: float) -> float | None:
        """Return when it was ready, or None if it was not by that moment."""
        while time.monotonic() < moment and process.poll() is None:
            with contextlib.suppress(httpx.TransportError, OSError):
                if (port := listening_port(process.pid)) and _is_ready(port):
                    return time.monotonic()
            time.sleep(0.02)
        return None

    def _ask_until_killed(self, process: subprocess.Popen[bytes], seconds: float) -> None:
        """Ask one question after the other, and kill in the middle of one."""
        url = f"http://127.0.0.1:{listening_port(process.pid)}"
        killer = threading.Timer(seconds, process.send_signal, [signal.SIGKILL])
        killer.start()
        answers = 0
        try:
            while True:
                answer = httpx.post(f"{url}/classify", json={"text": _TEXT}, timeout=30)
                body = {key: value for key, value in answer.json().items() if key != "usage"}
                self._expected = self._expected or (answer.status_code, body)
                answers += 1
                if answer.status_code != httpx.codes.OK or (answer.status_code, body) != self._expected:
                    self.wrong += 1
                    self.failures.append(f"a wrong answer: {answer.status_code} {answer.text[:200]}")
        except httpx.TransportError:
            pass
        finally:
            killer.join()
        if answers == 0 and seconds >= 1:
            self.failures.append("a server was ready and did not answer")


def _is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/health/ready").status_code == httpx.codes.OK


def _start(models: Path, log: Any) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "bigbird_cli", "serve", "--models", str(models), "--port", "0"]
    environment = {**os.environ, "BIGBIRD_WARM_UP_SECONDS": "0.5"}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stderr=log, stdout=log)


if __name__ == "__main__":
    print(run(float(sys.argv[1]) if sys.argv[1:] else 1.0))
