"""The proxies' configurations as they stand in deploy/proxies, with the real programs: restarts lose no request, and
slow uploads are not taken for attacks.
"""

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from service.security.access import key_line
from tests.fake_server import COMMAND
from tests.foreign_programs import find_program

ROOT = Path(__file__).parents[2]
PROXIES = ROOT / "deploy" / "proxies"
PROXY_PORT, FIRST, SECOND = 8000, 8001, 8002
REQUESTS = 5000
CLIENTS = 8
WAIT_SECONDS = 120
BODY = json.dumps({"text": "10"})
# A body that fits into no proxy's buffer cannot be sent again from there.
LONG_BODY = BODY + " " * 40_000
# What clients call the proxy, as the configurations' first comments have it.
NAME = "bigbird.example.com"

pytestmark = pytest.mark.integration


class Server:
    """One of the two servers behind a proxy, with the settings that the proxy's configuration asks for."""

    def __init__(self, port: int, environment: dict[str, str]) -> None:
        self.port = port
        self._environment = {**os.environ, **environment, "BIGBIRD_PORT": str(port), "BIGBIRD_WARM_UP_SECONDS": "0"}
        self.start()

    def start(self) -> None:
        self._process = subprocess.Popen(COMMAND, cwd=ROOT, env=self._environment, stderr=subprocess.DEVNULL)
        until_ready(self.port)

    def restart(self) -> None:
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(timeout=WAIT_SECONDS) == 0
        self.start()

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


def until_ready(port: int) -> None:
    """Wait until the service answers behind a port."""
    deadline = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
        with contextlib.suppress(OSError, http.client.HTTPException), contextlib.closing(connection):
            connection.request("GET", "/health/ready")
            if connection.getresponse().status == 200:
                return
        time.sleep(0.05)
    raise AssertionError(f"nothing was ready on port {port}")


def free_ports(count: int) -> list[int]:
    """Return ports that nothing listens on, outside of those that the system gives to outgoing connections."""
    found: list[int] = []
    for port in range(20_000, 30_000):
        with contextlib.suppress(OSError), socket.socket() as tried:
            tried.bind(("127.0.0.1", port))
            found.append(port)
        if len(found) == count:
            break
    return found


def environment_asked_for(configuration: str) -> dict[str, str]:
    """Return the settings that a configuration's first comment tells to start the servers with."""
    words = [line.split()[1] for line in configuration.splitlines() if line.startswith("#   BIGBIRD_")]
    return dict(word.split("=") for word in words)


@contextlib.contextmanager
def proxy(name: str, configuration: str) -> Iterator[None]:
    """Run a proxy with a configuration."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "configuration")
        file.write_text(configuration)
        command = {
            "haproxy": ["haproxy", "-db", "-f", str(file)],
            "nginx": ["nginx", "-p", folder, "-c", str(file), "-g", f"daemon off; pid {folder}/pid;"],
        }[name]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            yield
        finally:
            process.terminate()
            process.wait()


class Clients:
    """Clients that keep their connections and send one request after another; what they hear is counted."""

    def __init__(self, port: int, path: str) -> None:
        self._port = port
        self._path = path
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, args=(number,)) for number in range(CLIENTS)]
        self._lock = threading.Lock()
        self.heard: Counter[object] = Counter()
        for thread in self._threads:
            thread.start()

    def _run(self, number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=WAIT_SECONDS)
        body = LONG_BODY if number == 0 else BODY
        while not self._stop.is_set():
            try:
                connection.request("POST", self._path, body, {"content-type": "application/json", "host": NAME})
                answer = connection.getresponse()
                answer.read()
                heard: object = answer.status
            except (OSError, http.client.HTTPException) as error:
                heard = repr(error)
                connection.close()
            with self._lock:
                self.heard[heard] += 1
        connection.close()

    def until_answered(self, count: int) -> None:
        deadline = time.monotonic() + WAIT_SECONDS
        while self.heard.total() < count:
            assert time.monotonic() < deadline, self.heard
            time.sleep(0.05)

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@contextlib.contextmanager
def proxied(name: str, file: str, **more: str) -> Iterator[tuple[int, list[Server]]]:
    """Run two servers, with the settings that a configuration asks for and more, and its proxy; yield its port."""
    find_program(name, package=name)
    configuration = (PROXIES / file).read_text()
    environment = environment_asked_for(configuration)
    assert environment
    own = free_ports(3)
    for documented, port in zip((PROXY_PORT, FIRST, SECOND), own, strict=True):
        assert str(documented) in configuration
        configuration = configuration.replace(str(documented), str(port))
    with contextlib.ExitStack() as running:
        servers = [Server(port, {**environment, **more}) for port in own[1:]]
        for server in servers:
            running.callback(server.stop)
        running.enter_context(proxy(name, configuration))
        until_ready(own[0])
        yield own[0], servers


PROXIED = pytest.mark.parametrize(("name", "file"), [("haproxy", "haproxy.cfg"), ("nginx", "nginx.conf")])


@PROXIED
def test_restarts_behind_a_proxy_lose_nothing(name: str, file: str) -> None:
    with proxied(name, file) as (port, servers), contextlib.ExitStack() as running:
        clients = Clients(port, "/ner")
        running.callback(clients.stop)
        clients.until_answered(REQUESTS // 10)
        for server in servers:
            server.restart()
            clients.until_answered(clients.heard.total() + REQUESTS // 10)
        clients.until_answered(REQUESTS)
        clients.stop()
        assert set(clients.heard) == {200}, clients.heard


@PROXIED
def test_other_names_than_the_documented_are_refused_behind_a_proxy_too(name: str, file: str) -> None:
    with proxied(name, file) as (port, _):
        statuses = {called: status_of(port, called) for called in (NAME, f"{NAME}:8000", "localhost", "evil.example")}
    assert statuses == {NAME: 200, f"{NAME}:8000": 200, "localhost": 200, "evil.example": 400}


def status_of(port: int, called: str) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=WAIT_SECONDS)
    with contextlib.closing(connection):
        connection.request("GET", "/v1/models", headers={"host": called})
        return connection.getresponse().status


@PROXIED
def test_a_slow_upload_behind_a_proxy_outlives_connections_without_a_key(name: str, file: str) -> None:
    """Servers of four connections each, and far more that send bodies without end."""
    limits = {"BIGBIRD_MAX_CONNECTIONS": "4", "BIGBIRD_API_KEYS": key_line("slow", "the key")}
    with proxied(name, file, **limits) as (port, servers), contextlib.ExitStack() as open_ones:
        upload = open_ones.enter_context(contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)))
        upload.putrequest("POST", "/ner", skip_host=True)
        headers = {"Host": NAME, "Content-Type": "application/json", "Authorization": "Bearer the key"}
        for header, value in {**headers, "Content-Length": str(len(BODY))}.items():
            upload.putheader(header, value)
        upload.endheaders(BODY[:3].encode())
        for server in servers:
            for _ in range(50):
                attacker = socket.create_connection(("127.0.0.1", server.port), timeout=WAIT_SECONDS)
                open_ones.callback(attacker.close)
                attacker.sendall(b"POST /ner HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{")
                assert attacker.recv(12) == b"HTTP/1.1 401"
            until_ready(server.port)
        upload.send(BODY[3:].encode())
        assert upload.getresponse().status == 200
