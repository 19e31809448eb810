"""Binding before anything else, and what a port that is taken looks like."""

import socket
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from service.process.listening import CannotListen, bind

ROOT = Path(__file__).parents[3]


def test_one_port_for_all_hosts() -> None:
    sockets = bind(["127.0.0.1", "::1"], 0)
    try:
        assert {opened.family for opened in sockets} == {socket.AF_INET, socket.AF_INET6}
        assert len({opened.getsockname()[1] for opened in sockets}) == 1
    finally:
        for opened in sockets:
            opened.close()


def test_every_address_of_ipv6_is_every_address_of_ipv4_too() -> None:
    (both,) = bind(["::"], 0)
    with both:
        both.listen()
        with closing(socket.create_connection(("127.0.0.1", both.getsockname()[1]), timeout=10)) as client:
            assert client.getpeername()[1] == both.getsockname()[1]


@pytest.mark.parametrize(
    ("host", "reason"),
    [("no.such.host.invalid", "cannot listen on no.such.host.invalid"), ("192.0.2.1", "Cannot assign")],
)
def test_a_host_that_is_not_here_is_named(host: str, reason: str) -> None:
    with pytest.raises(CannotListen, match=reason):
        bind(["127.0.0.1", host], 0)


def test_a_port_that_is_taken_ends_with_3_and_one_line_before_a_model_is_loaded() -> None:
    program = (
        "import sys; from service.process.server import serve; from service.settings import Settings\n"
        "def load(settings): raise AssertionError('a model was loaded')\n"
        "sys.exit(serve(Settings(port=int(sys.argv[1])), load))"
    )
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for _ in range(3):
            done = subprocess.run([sys.executable, "-c", program, str(port)], cwd=ROOT, capture_output=True, text=True)
            assert done.returncode == 3, done.stderr
            assert len(done.stderr.splitlines()) == 1
            assert f"127.0.0.1 port {port}" in done.stderr


def test_sigterm_while_the_command_is_imported_ends_it_as_the_first_process_too() -> None:
    """The first process of a container has no default for signals: what it does not handle it never gets."""
    program = (
        "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); sys.argv = ['bigbird', 'serve']\n"
        "import importlib; real = importlib.import_module\n"
        "def slow(name): print('importing', flush=True); sys.stdin.readline(); return real(name)\n"
        "importlib.import_module = slow\n"
        "from bigbird_cli.main import main; main()"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with process:
        assert process.stdout is not None
        assert process.stdout.readline() == "importing\n"
        process.terminate()
        deadline = time.monotonic() + 60
        while process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        assert process.poll() == 0
