"""A real Prometheus beside the real server: every shipped expression has data, and alerts fire and end."""

import asyncio
import contextlib
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer, running_server
from demo.reports import FIRST_EVALUATION_SEED, generate_report
from tests.deploy.expressions import (
    DASHBOARDS,
    alert_expressions,
    dashboard,
    panel_expressions,
    recording_expressions,
    variable_queries,
)
from tests.deploy.running_prometheus import (
    RunningPrometheus,
    running_prometheus,
    shipped_rules,
    wait_until,
)
from tests.foreign_programs import find_program

pytestmark = pytest.mark.integration

# These have data where there is a GPU. That their metrics exist is tested below.
ONLY_ON_A_GPU = {
    "models-and-hardware.json: GPU memory: A",
    "models-and-hardware.json: GPU memory: B",
    "models-and-hardware.json: GPU memory, share: A",
    "models-and-hardware.json: GPU utilisation: A",
    "models-and-hardware.json: GPU features: A",
    "BigbirdGpuFeatureDisabled: 0",
    "BigbirdGpuMemory: 0",
}
# This has data while an alert fires, which the overload below brings about.
ONLY_IN_A_FAILURE = {"overview.json: Alerts that fire: A"}

# Limits beyond what any test sends: what is tried is how old the queue gets, not how long.
SETTINGS = {
    "BIGBIRD_DEVICE": "cpu",
    "BIGBIRD_MAX_QUEUED_ITEMS": "1000000",
    "BIGBIRD_MAX_QUEUED_TOKENS": "1000000000",
    "BIGBIRD_WARM_UP_SECONDS": "2",
}


@dataclass(frozen=True, slots=True)
class Watched:
    """The server with the demo bundles, after a short mixed load, and the Prometheus that watches it."""

    server: RunningServer
    prometheus: RunningPrometheus


@pytest.fixture(scope="module")
def watched(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    find_program("prometheus", package="prometheus")
    bundles: Path = request.getfixturevalue("bundles")
    folder = tmp_path_factory.mktemp("prometheus")
    with (
        running_server(bundles, SETTINGS) as server,
        running_prometheus(folder, [server.url.removeprefix("http://")]) as prometheus,
    ):
        # Rates need a scrape before the load and one after it.
        wait_until(lambda: prometheus.has_data("bigbird_requests_total"), "scraped")
        sent = mixed_load(server.url)
        counted = 'sum(bigbird_requests_total{endpoint=~"/qa|/classify|/ner"})'
        wait_until(lambda: sum(prometheus.values(counted)) >= sent, "scraped after the load")
        yield Watched(server, prometheus)


def mixed_load(url: str) -> int:
    """Send requests that succeed, that are refused and that are given up; return how many."""
    short, long = generate_report(FIRST_EVALUATION_SEED, 80).text, generate_report(FIRST_EVALUATION_SEED, 900).text
    bodies: list[tuple[str, dict[str, Any], int]] = [
        ("/qa", {"question": "Who leads the project?", "context": short}, 200),
        ("/qa", {"question": "Who leads the project?", "context": "\n".join([long] * 3)}, 200),
        ("/classify", {"text": short}, 200),
        ("/classify", {"text": [short, long, short]}, 200),
        ("/ner", {"text": long}, 200),
        ("/ner", {"text": " "}, 422),
        ("/ner", {"text": short, "model": "none"}, 404),
        ("/ner", {"text": [long] * 16, "timeout_ms": 1}, 504),
    ]
    with httpx.Client(base_url=url, timeout=120) as client:
        for path, body, status in bodies * 2:
            assert client.post(path, json=body).status_code == status, (path, status)
        with contextlib.suppress(httpx.TimeoutException):
            client.post("/ner", json={"text": [long] * 16}, timeout=0.3)
    return 2 * len(bodies) + 1


def filled_in(expression: str, variables: Mapping[str, str]) -> str:
    """Return a dashboard's expression as Grafana would send it with everything chosen."""
    for name, value in {"__rate_interval": "10m", **variables}.items():
        expression = re.sub(rf"\${name}\b", lambda match, value=value: value, expression)  # type: ignore[misc]
    assert "$" not in expression, expression
    return expression


def chosen_variables(prometheus: RunningPrometheus) -> dict[str, str]:
    """Return what Grafana puts in for `All`."""
    chosen = {}
    for path in DASHBOARDS:
        for variable in dashboard(path)["templating"]["list"]:
            if variable["type"] == "query":
                values = prometheus.label_values(*variable_queries()[f"{path.name}: {variable['name']}"])
                chosen[variable["name"]] = variable.get("allValue") or "|".join(values)
    return chosen


def without_data(prometheus: RunningPrometheus, expressions: Mapping[str, str], seconds: float = 60) -> set[str]:
    """Wait for data of expressions; return the names of those that got none."""
    deadline = time.monotonic() + seconds
    empty = dict(expressions)
    while True:
        empty = {name: expression for name, expression in empty.items() if not prometheus.has_data(expression)}
        if not empty or time.monotonic() > deadline:
            return set(empty)
        time.sleep(0.5)


def expected(expressions: Mapping[str, str]) -> dict[str, str]:
    exceptions = ONLY_ON_A_GPU | ONLY_IN_A_FAILURE
    return {name: expression for name, expression in expressions.items() if name not in exceptions}


# With data.


def test_what_has_no_data_is_noticed(watched: Watched) -> None:
    empty = {
        "no such metric": "bigbird_nothing_total",
        "no such label": 'bigbird_ready{device="none"}',
        "no number": "0 / 0",
    }
    assert without_data(watched.prometheus, empty, seconds=0) == set(empty)


def test_every_variable_of_every_dashboard_has_values(watched: Watched) -> None:
    queries = variable_queries()
    assert queries
    assert not [name for name, query in queries.items() if not watched.prometheus.label_values(*query)]
    chosen = chosen_variables(watched.prometheus)
    assert set(chosen["endpoint"].split("|")) == {"/qa", "/classify", "/ner"}


def test_every_panel_of_every_dashboard_has_data(watched: Watched) -> None:
    chosen = chosen_variables(watched.prometheus)
    expressions = {name: filled_in(expression, chosen) for name, expression in panel_expressions().items()}
    assert len(DASHBOARDS) == 3
    assert without_data(watched.prometheus, expected(expressions)) == set()


def test_every_recording_rule_has_data_as_an_expression_and_as_a_series(watched: Watched) -> None:
    expressions = recording_expressions()
    assert without_data(watched.prometheus, expressions) == set()
    assert without_data(watched.prometheus, {name: name for name in expressions}) == set()


def test_everything_that_an_alert_compares_has_data(watched: Watched) -> None:
    assert without_data(watched.prometheus, expected(alert_expressions())) == set()


def test_the_expressions_that_may_be_empty_are_there_and_their_metrics_exist(watched: Watched) -> None:
    expressions = panel_expressions() | alert_expressions()
    assert set(expressions) >= ONLY_ON_A_GPU | ONLY_IN_A_FAILURE
    metrics = httpx.get(f"{watched.server.url}/metrics").text
    used = {name for key in ONLY_ON_A_GPU for name in re.findall(r"bigbird_\w+", expressions[key])}
    assert used == {name for name in used if f"# TYPE {name} gauge" in metrics}


def test_no_alert_but_of_slowness_fires_under_a_short_mixed_load(watched: Watched) -> None:
    # On a machine that does much else, these could be right.
    slow = {"BigbirdSlowRequests", "BigbirdLatencyBudgetBurning", "BigbirdQueueAge"}
    alerts = {rule["alert"] for rule in shipped_rules() if "alert" in rule} - slow
    assert not [alert for alert in alerts if watched.prometheus.firing(alert)]


def test_promtool_finds_nothing_wrong_with_the_metrics(watched: Watched) -> None:
    metrics = httpx.get(f"{watched.server.url}/metrics").text
    done = subprocess.run(
        [find_program("promtool", package="prometheus"), "check", "metrics"],
        input=metrics,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


# Under overload.


def test_the_queue_age_alert_fires_under_overload_and_ends_after_it(watched: Watched) -> None:
    prometheus = watched.prometheus
    asyncio.run(overload(watched.server.url, prometheus))
    chosen = chosen_variables(prometheus)
    expressions = {name: panel_expressions()[name] for name in ONLY_IN_A_FAILURE}
    past = {name: f"last_over_time(({filled_in(one, chosen)})[1m:1s])" for name, one in expressions.items()}
    assert without_data(prometheus, past) == set()
    wait_until(lambda: not prometheus.firing("BigbirdQueueAge"), "ended")
    wait_until(lambda: sum(prometheus.values("bigbird_queue_depth")) == 0, "an empty queue")


async def overload(url: str, prometheus: RunningPrometheus) -> None:
    """Send more than the server can do until the alert fires, then hang up."""
    text = generate_report(FIRST_EVALUATION_SEED, 900).text
    body = {"text": [text] * 64, "timeout_ms": 3_600_000}
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, timeout=None, limits=limits) as client:
        posts: list[asyncio.Task[httpx.Response]] = []
        try:
            deadline = time.monotonic() + 240
            while not await asyncio.to_thread(prometheus.firing, "BigbirdQueueAge"):
                assert time.monotonic() < deadline, "the alert did not fire"
                # However fast the machine: what arrives in each turn is more than what is done in it.
                posts += [asyncio.create_task(client.post("/ner", json=body)) for _ in range(2)]
                await asyncio.sleep(0.5)
            fired = await asyncio.to_thread(prometheus.firing, "BigbirdQueueAge")
            assert [labels["model"] for labels in fired] == ["demo-ner"]
            assert {labels["severity"] for labels in fired} == {"warning"}
        finally:
            for post in posts:
                post.cancel()
            await asyncio.gather(*posts, return_exceptions=True)
