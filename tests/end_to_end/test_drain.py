"""Servers that are told to stop while they have work: nothing that was accepted is lost, and others take over.

What a cluster does around it (deploy/kubernetes/base/deployment.yaml) is played here: a successor is ready first,
clients are sent there, SIGTERM.
"""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer, running_server
from demo.reports import FIRST_EVALUATION_SEED, generate_report

# Enough work that a drain lasts: lists of windows near the longest bucket, on one thread.
LISTS = 4
TEXTS = 16
QUICK_START = {"BIGBIRD_WARM_UP_SECONDS": "0", "BIGBIRD_THREADS": "1"}
PATIENT = {**QUICK_START, "BIGBIRD_DRAIN_TIMEOUT_SECONDS": "300", "BIGBIRD_TIMEOUT_MS": "300000"}
WAIT_SECONDS = 120
CLIENTS = 4

LONG = generate_report(FIRST_EVALUATION_SEED + 11, 1700).text
SHORT = generate_report(FIRST_EVALUATION_SEED + 12, 100).text


@pytest.fixture(scope="module")
def successor(bundles: Path) -> Iterator[RunningServer]:
    with running_server(bundles / "demo-ner", PATIENT) as running:
        yield running


def entities(answer: dict[str, Any]) -> list[str]:
    return [entity["text"] for entity in answer["entities"]]


def ask(url: str, text: str) -> list[str]:
    response = httpx.post(f"{url}/ner", json={"text": text}, timeout=WAIT_SECONDS)
    assert response.status_code == 200, response.text
    return entities(response.json())


def ask_list(url: str) -> list[list[str]]:
    response = httpx.post(f"{url}/ner", json={"text": [LONG] * TEXTS}, timeout=WAIT_SECONDS)
    assert response.status_code == 200, response.text
    return [entities(answer) for answer in response.json()["results"]]


def total(metrics: str, family: str) -> float:
    """Return the sum of all series of a metric."""
    series = [line for line in metrics.splitlines() if line.startswith(f"{family}{{")]
    return sum(float(line.rsplit(" ", 1)[1]) for line in series)


@contextmanager
def work(server: RunningServer, lists: int) -> Iterator[list[Future[list[list[str]]]]]:
    """Have so many long requests accepted; windows of at least one of them still wait."""
    with ThreadPoolExecutor(lists) as threads, httpx.Client(base_url=server.url) as client:
        before = total(client.get("/metrics").text, "bigbird_admitted_requests_total")
        requests = [threads.submit(ask_list, server.url) for _ in range(lists)]
        while True:
            metrics = client.get("/metrics").text
            admitted = total(metrics, "bigbird_admitted_requests_total") - before
            # Other clients have one window each there.
            if admitted >= lists and total(metrics, "bigbird_queue_depth") > CLIENTS:
                break
            assert not all(request.done() for request in requests), "everything was answered before it was seen waiting"
        yield requests


def assert_refused(response: httpx.Response) -> None:
    assert response.status_code == 503
    assert int(response.headers["retry-after"]) >= 1
    assert response.headers["connection"] == "close"
    assert response.json()["code"] == "draining"


def test_sigterm_under_load_loses_nothing_that_was_accepted_and_refuses_what_is_new(bundles: Path) -> None:
    with running_server(bundles / "demo-ner", PATIENT) as server:
        expected = ask(server.url, LONG)
        assert expected
        with work(server, LISTS) as accepted, httpx.Client(base_url=server.url) as kept:
            assert kept.get("/health/ready").status_code == 200
            server.process.send_signal(signal.SIGTERM)
            # A connection for each question, as a probe asks; the signal is heard within a few answers.
            while (ready := httpx.get(f"{server.url}/health/ready")).status_code == 200:
                pass
            assert_refused(ready)
            assert httpx.get(f"{server.url}/health/live").status_code == 200
            assert_refused(kept.post("/ner", json={"text": SHORT}))
            for _ in range(10):
                assert_refused(httpx.post(f"{server.url}/ner", json={"text": SHORT}))
            # All of this was while the server worked for those that it had accepted.
            assert not all(request.done() for request in accepted)
            assert server.process.wait(WAIT_SECONDS) == 0
            assert [request.result() for request in accepted] == [[expected] * TEXTS] * LISTS
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"{server.url}/health/live")


def test_a_server_that_is_stopped_while_it_warms_up_exits_with_0(bundles: Path) -> None:
    command = [sys.executable, "-m", "bigbird_cli", "serve", "--models", str(bundles), "--port", "0"]
    environment = {**os.environ, "BIGBIRD_WARM_UP_SECONDS": "600"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        assert process.stderr is not None
        # Now the executor runs one batch after the other, and most of them are still to come.
        assert any("Application startup complete" in line for line in process.stderr)
        process.send_signal(signal.SIGTERM)
        rest = process.stderr.read()
        assert process.wait(WAIT_SECONDS) == 0, rest
    assert "ready: " not in rest, "it was warm before the signal came"
    assert "Finished server process" in rest


@dataclass
class Clients:
    """Clients that ask without a pause, and ask the next server where one refuses or is gone.

    Attributes:
        urls: The servers, in the order in which a client tries them.
    """

    urls: list[str]
    expected: list[str]
    answers: dict[str, set[int]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    stopped: threading.Event = field(default_factory=threading.Event)
    answered: threading.Condition = field(default_factory=threading.Condition)

    def run(self, number: int) -> int:
        """Ask until stopped; return how many requests were answered."""
        count = 0
        with httpx.Client(timeout=WAIT_SECONDS) as client:
            while not self.stopped.is_set():
                url = self.ask(client)
                count += 1
                with self.answered:
                    self.answers.setdefault(url, set()).add(number)
                    self.answered.notify_all()
        return count

    def ask(self, client: httpx.Client) -> str:
        """Return the server that gave the right answer in the end."""
        for _ in range(100):
            for url in list(self.urls):
                try:
                    response = client.post(f"{url}/ner", json={"text": SHORT})
                except httpx.TransportError as error:
                    self.failures.append(type(error).__name__)
                    continue
                if response.status_code == 200:
                    assert entities(response.json()) == self.expected
                    return url
                assert_refused(response)
                self.failures.append("refused")
        raise AssertionError(f"no server answered: {self.failures}")

    def wait_until_all_have_heard_from(self, url: str) -> None:
        with self.answered:
            heard = self.answered.wait_for(lambda: len(self.answers.get(url, ())) == CLIENTS, WAIT_SECONDS)
        assert heard


@contextmanager
def asking(clients: Clients) -> Iterator[None]:
    with ThreadPoolExecutor(CLIENTS) as threads:
        running = [threads.submit(clients.run, number) for number in range(CLIENTS)]
        try:
            yield
        finally:
            clients.stopped.set()
    assert all(done.result() > 0 for done in running)


@pytest.mark.integration
def test_a_server_that_is_replaced_as_a_cluster_does_it_fails_no_request_at_all(
    bundles: Path, successor: RunningServer
) -> None:
    expected = ask(successor.url, LONG)
    with running_server(bundles / "demo-ner", PATIENT) as old:
        clients = Clients([old.url], ask(successor.url, SHORT))
        with asking(clients), work(old, 1) as accepted:
            clients.wait_until_all_have_heard_from(old.url)
            # The successor is ready and everybody learns of it: that is what the pause before SIGTERM is for.
            clients.urls[:] = [successor.url]
            clients.wait_until_all_have_heard_from(successor.url)
            assert old.stop(WAIT_SECONDS) == 0
            assert [request.result() for request in accepted] == [[expected] * TEXTS]
    assert clients.failures == []


@pytest.mark.integration
def test_a_server_that_stops_unannounced_costs_clients_that_try_again_no_request(
    bundles: Path, successor: RunningServer
) -> None:
    expected = ask(successor.url, LONG)
    with running_server(bundles / "demo-ner", PATIENT) as old:
        clients = Clients([old.url, successor.url], ask(successor.url, SHORT))
        with asking(clients):
            clients.wait_until_all_have_heard_from(old.url)
            with work(old, 1) as accepted:
                assert old.stop(WAIT_SECONDS) == 0
                assert [request.result() for request in accepted] == [[expected] * TEXTS]
            clients.wait_until_all_have_heard_from(successor.url)
    assert "refused" in clients.failures
