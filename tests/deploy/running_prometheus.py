"""A real Prometheus on a free loopback port, with the shipped configuration made fast, and what tests ask it."""

import contextlib
import json
import math
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from benchmarks.running_server import listening_port
from tests.foreign_programs import find_program

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = ROOT / "deploy" / "prometheus"
RULE_FILES = sorted((SHIPPED / "rules").glob("*.yml"))

PATIENCE_SECONDS = 120


def wait_until(true: Callable[[], object], what: str, seconds: float = PATIENCE_SECONDS) -> None:
    """Wait for a state, with a deadline."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline, f"after {seconds:.0f} s: not {what}"
        time.sleep(0.2)


@dataclass(frozen=True, slots=True)
class RunningPrometheus:
    """Prometheus's HTTP interface."""

    client: httpx.Client

    def get(self, path: str, **parameters: Any) -> Any:
        answer = self.client.get(f"/api/v1/{path}", params=parameters, timeout=60)
        assert answer.status_code == 200, f"{path} {parameters}: {answer.text}"
        return answer.json()["data"]

    def values(self, expression: str) -> list[float]:
        """The current values of an expression that are numbers."""
        found = self.get("query", query=expression)
        texts = (
            [found["result"][1]]
            if found["resultType"] == "scalar"
            else [series["value"][1] for series in found["result"]]
        )
        return [value for value in map(float, texts) if not math.isnan(value)]

    def has_data(self, expression: str) -> bool:
        return bool(self.values(expression))

    def label_values(self, series: str, label: str) -> list[str]:
        values: list[str] = self.get(f"label/{label}/values", **{"match[]": series})
        return values

    def firing(self, alert: str) -> list[dict[str, str]]:
        """The labels of an alert that fires, once for each series."""
        alerts = self.get("alerts")["alerts"]
        return [
            found["labels"] for found in alerts if found["labels"]["alertname"] == alert and found["state"] == "firing"
        ]


def shipped_rules() -> list[dict[str, Any]]:
    """Every recording rule and alert."""
    groups = [group for path in RULE_FILES for group in yaml.safe_load(path.read_text("utf-8"))["groups"]]
    return [rule for group in groups for rule in group["rules"]]


@contextlib.contextmanager
def running_prometheus(folder: Path, targets: Sequence[str]) -> Iterator[RunningPrometheus]:
    """Run the shipped configuration with other targets, every second, and with alerts that do not wait.

    Args:
        folder: Where it may write.
        targets: Hosts and ports of the job `bigbird`.
    """
    program = find_program("prometheus", package="prometheus")
    rules = folder / "rules"
    rules.mkdir(parents=True)
    for path in RULE_FILES:
        (rules / path.name).write_text(json.dumps(_impatient(yaml.safe_load(path.read_text("utf-8")))), "utf-8")
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    job = next(job for job in config["scrape_configs"] if job["job_name"] == "bigbird")
    config["scrape_configs"] = [{**job, "static_configs": [{"targets": list(targets)}]}]
    # JSON is YAML.
    (folder / "prometheus.yml").write_text(json.dumps(config), "utf-8")
    with (folder / "log").open("w+b") as log:
        process = subprocess.Popen(
            [
                program,
                f"--config.file={folder / 'prometheus.yml'}",
                f"--storage.tsdb.path={folder / 'data'}",
                "--web.listen-address=127.0.0.1:0",
            ],
            stdout=log,
            stderr=log,
        )
        try:

            def listens() -> int:
                assert process.poll() is None, (folder / "log").read_text("utf-8")
                return listening_port(process.pid)

            wait_until(listens, "listening")
            # To make a client for each question would take more of the processor than to ask.
            with httpx.Client(base_url=f"http://127.0.0.1:{listens()}") as client:

                def ready() -> bool:
                    with contextlib.suppress(httpx.TransportError):
                        return client.get("/-/ready").status_code == 200
                    return False

                wait_until(ready, "ready")
                yield RunningPrometheus(client)
        finally:
            process.terminate()
            process.wait(timeout=60)


def _impatient(rules: Mapping[str, Any]) -> Mapping[str, Any]:
    """Leave out for how long an alert must be true before it fires."""
    for group in rules["groups"]:
        for rule in group["rules"]:
            rule.pop("for", None)
    return rules
