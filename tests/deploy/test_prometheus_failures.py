"""Failures of a real server, seen by a real Prometheus: each fires the alerts that it should."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from benchmarks.running_server import listening_port
from tests.deploy.failing_server import FATAL, NO_ROOM, STUCK
from tests.deploy.running_prometheus import (
    ROOT,
    RunningPrometheus,
    running_prometheus,
    wait_until,
)
from tests.fake_model import POISON
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration


@pytest.fixture
def failing(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], str, RunningPrometheus]]:
    """A server whose model fails as it is asked to, its address, and the Prometheus that watches it."""
    find_program("prometheus", package="prometheus")
    log = tmp_path / "server.log"
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.deploy.failing_server"], cwd=ROOT, stdin=subprocess.PIPE, stderr=stderr
        )

        def listens() -> int:
            assert process.poll() is None, log.read_text("utf-8")
            return listening_port(process.pid)

        try:
            wait_until(listens, "listening")
            address = f"127.0.0.1:{listens()}"
            with running_prometheus(tmp_path / "prometheus", [address]) as prometheus:
                wait_until(lambda: prometheus.values("bigbird_ready") == [1], "ready")
                yield process, f"http://{address}", prometheus
        finally:
            process.kill()
            process.communicate()


def test_each_failure_that_can_be_brought_about_fires_its_alerts(
    failing: tuple[subprocess.Popen[bytes], str, RunningPrometheus],
) -> None:
    process, url, prometheus = failing

    def expect(*alerts: str, after: str) -> None:
        for alert in alerts:
            wait_until(lambda alert=alert: prometheus.firing(alert), f"{alert} after {after}")  # type: ignore[misc]

    def classify(*texts: str, timeout: float = 60) -> int:
        body = {"text": texts[0] if len(texts) == 1 else list(texts)}
        return httpx.post(f"{url}/classify", json=body, timeout=timeout).status_code

    assert classify("10") == 200
    assert [classify(str(POISON)) for _ in range(30)] == [500] * 30
    expect("BigbirdHighErrorRate", "BigbirdErrorBudgetBurning", after="failing runs")

    assert classify(*[str(NO_ROOM)] * 16) == 500
    expect("BigbirdOutOfMemory", after="a batch without room")

    with pytest.raises(httpx.ReadTimeout):
        classify(str(STUCK), timeout=0.5)
    expect("BigbirdExecutorStuck", "BigbirdNotReady", after="a run that does not end")
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    wait_until(lambda: not prometheus.firing("BigbirdExecutorStuck"), "going on")

    assert classify(str(FATAL)) == 503
    expect("BigbirdExecutorDead", "BigbirdNotReady", after="the death of the executor")

    process.kill()
    expect("BigbirdTargetDown", after="the end of the process")
