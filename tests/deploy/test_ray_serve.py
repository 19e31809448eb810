"""deploy/ray on a cluster of two nodes: the service's own paths from two replicas, one of which is lost under load."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from tests.foreign_programs import need_package
from tests.reliability.small_bundles import write_small_bundles
from tests.two_ray_nodes import ROOT, TwoNodes, two_ray_nodes

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]

FOLDER = ROOT / "deploy" / "ray"
CLIENTS = 4
# Until the cluster knows that a replica is dead, it may be given requests.
NOTICED_SECONDS = 5
# Of so many windows that some are in hand whenever a replica dies.
BODY = {"text": "The survey of the northern bridges ended in May. " * 2000}


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        return int(listening.getsockname()[1])


@pytest.fixture
def nodes() -> Iterator[TwoNodes]:
    paths = os.pathsep.join([str(ROOT), str(FOLDER)])
    # Otherwise a proxy gives its own machine's replica everything, as it should behind a balancer.
    with two_ray_nodes(PYTHONPATH=paths, RAY_SERVE_PROXY_PREFER_LOCAL_NODE_ROUTING="0") as nodes:
        nodes.add(PYTHONPATH=paths)
        yield nodes


def configuration(folder: Path, port: int) -> Path:
    """Return serve.yaml as it is, but for the port and the folder of models."""
    content: dict[str, Any] = yaml.safe_load((FOLDER / "serve.yaml").read_text())
    content["http_options"]["port"] = port
    content["proxy_location"] = "HeadOnly"  # both nodes are this machine, where a port can be had once
    content["applications"][0]["runtime_env"]["env_vars"]["BIGBIRD_MODELS"] = str(folder / "bundles")
    path = folder / "serve.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def wait_for_replicas(address: str, count: int) -> None:
    """Wait until so many replicas are given requests; a deployment that fails says why."""
    import ray
    from ray import serve

    ray.init(address=address, log_to_driver=False, ignore_reinit_error=True)
    while True:
        application = serve.status().applications["bigbird"]
        assert "FAILED" not in application.status, application
        deployment = application.deployments.get("bigbird")
        if deployment is not None and deployment.replica_states.get("RUNNING", 0) == count:
            return
        time.sleep(0.5)


def replicas(url: str) -> set[str]:
    """Return when the processes began that answer."""
    pages = [httpx.get(f"{url}/metrics", timeout=60).text for _ in range(30)]
    return {line for page in pages for line in page.splitlines() if line.startswith("process_start_time_seconds ")}


class Client(threading.Thread):
    """Asks again and again, and keeps what came of each request and when it began."""

    def __init__(self, url: str, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.results: list[tuple[float, float, str]] = []
        self._url = url
        self._over = over

    def run(self) -> None:
        with httpx.Client(timeout=60) as client:
            while not self._over.is_set():
                begun = time.monotonic()
                try:
                    answer = client.post(f"{self._url}/classify", json=BODY)
                    result = "200" if answer.status_code == 200 else f"{answer.status_code} {answer.text[:60]}"
                except httpx.HTTPError as error:
                    result = repr(error)
                self.results.append((begun, time.monotonic(), result))


def test_a_replica_is_lost_under_load_and_only_what_it_had_in_hand_ends_with_an_error(
    tmp_path: Path, nodes: TwoNodes
) -> None:
    need_package("ray")
    write_small_bundles(tmp_path / "bundles", ["classify"])
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    served = [sys.executable, "-m", "ray.serve.scripts", "run", "--non-blocking", str(configuration(tmp_path, port))]
    environment = {**os.environ, "RAY_ADDRESS": nodes.address, "PYTHONPATH": os.pathsep.join([str(ROOT), str(FOLDER)])}
    subprocess.run(served, cwd=tmp_path, env=environment, check=True, timeout=300)
    wait_for_replicas(nodes.address, 2)
    assert httpx.get(f"{url}/v1/models", timeout=60).json()["data"][0]["id"] == "small-classify"
    assert httpx.post(f"{url}/classify", json={}, timeout=60).headers["content-type"] == "application/problem+json"
    expected = httpx.post(f"{url}/classify", json=BODY, timeout=60).json()["label"]
    assert expected in ("invoice", "report", "letter")
    assert len(replicas(url)) == 2
    over = threading.Event()
    clients = [Client(url, over) for _ in range(CLIENTS)]
    for client in clients:
        client.start()
    while sum(len(client.results) for client in clients) < 200:
        time.sleep(0.1)
    killed = time.monotonic()
    nodes.kill()
    done = len(clients[0].results)
    while len(clients[0].results) < done + 100:
        time.sleep(0.1)
    over.set()
    for client in clients:
        client.join()
    results = [own for client in clients for own in client.results]
    lost = [own for own in results if own[2] != "200"]
    assert len(replicas(url)) == 1
    assert all(begun < killed + NOTICED_SECONDS and said.startswith("500") for begun, _, said in lost), lost
    assert len(lost) <= CLIENTS
