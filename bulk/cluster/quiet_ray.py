"""Ray without its reports of use: imported here and nowhere else, because it looks at the switch when imported.

Left alone, Ray collects what a cluster is used for and sends it to its makers, and serves a dashboard. One variable
stops that; with it a cluster of `ray start` still sends word that it is stopped, which the other one leads nowhere.
Whatever they say, the first process of a cluster asks by HTTP which cloud it is in: it is given a proxy that is not
there, and workers the one of the environment. A cluster of others has its own switches (docs/cluster.md).
"""

import contextlib
import logging
import os
import secrets
import socket
import sys
from collections.abc import Iterator
from typing import Any

from bigbird_inference.extras import install_command
from bulk.errors import JobError

_NOWHERE = "http://127.0.0.1:9"
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
os.environ["RAY_USAGE_STATS_REPORT_URL"] = _NOWHERE
# The next version's way with GPUs, which is told on standard error otherwise.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

try:
    import ray as ray
    import ray.data
    from ray._private.utils import read_ray_address
except ImportError as missing:
    raise JobError(f"--ray needs the package {missing.name!r}: {install_command('ray')}") from missing

LOCAL, FOUND = "local", "auto"
# Loopback, too. Of 127.0.0.1 Ray makes the machine's own address, at which others reach it.
_LOOPBACK = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"
_CLIENT = "ray://"
_ANSWER_SECONDS = 10
# One for all clusters of a process: Ray reads it once.
_KEY = secrets.token_hex(32)


@contextlib.contextmanager
def connected(address: str, *, dashboard: bool = False) -> Iterator[None]:
    """Be a driver of a cluster.

    Args:
        address: `local` for one on this machine that ends with the block, `auto` for the one that this machine is part
            of, or `host:port`.
        dashboard: Whether one that is started here has a dashboard, on the loopback interface.

    Raises:
        JobError: There is none, or it is of another version of Ray or Python.
    """
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        options |= {"include_dashboard": dashboard, "dashboard_host": "127.0.0.1", "_node_ip_address": _LOOPBACK}
        # Ray listens on every interface, whatever address it has. Nobody else has this key; left alone, Ray would keep
        # one in a file at home.
        os.environ["RAY_AUTH_TOKEN"] = _KEY
    elif (named := _found() if address == FOUND else address) not in ("", LOCAL, FOUND):
        _check_address(named)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        if address == LOCAL:
            with _dead_proxy() as proxies:
                ray.init(address=address, runtime_env={"env_vars": proxies}, **options)
        else:
            with _silent():
                ray.init(address=address, **options)
    except Exception as error:
        # Without this, Ray has no key for a cluster that is named.
        keyed = "" if os.environ.get("RAY_AUTH_MODE") == "token" else "; if it wants a key, set RAY_AUTH_MODE=token"
        raise JobError(
            f"--ray {address}: no cluster that can be used: {' '.join(str(error).split()):.300}; start one with "
            f"`ray start`, or take --ray local{keyed if ':' in address else ''}"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


@contextlib.contextmanager
def _dead_proxy() -> Iterator[dict[str, str]]:
    """Give processes that are started a proxy that is not there; yield the variables that undo it for workers."""
    names = ("http_proxy", "HTTP_PROXY", "no_proxy", "NO_PROXY")
    given = {name: os.environ.get(name) for name in names}
    os.environ.update({"http_proxy": _NOWHERE, "HTTP_PROXY": _NOWHERE, "no_proxy": "", "NO_PROXY": ""})
    try:
        yield {name: value or "" for name, value in given.items()}
    finally:
        for name, value in given.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _silent() -> Iterator[None]:
    """Drop what Ray's own library prints about each attempt to connect; if all of them fail, that is raised."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


def _found() -> str:
    """Return the address that Ray finds by itself, perhaps of a cluster that was killed; empty if it has none."""
    return str(os.environ.get("RAY_ADDRESS") or read_ray_address() or "")


def _check_address(address: str) -> None:
    """Refuse an address where nothing listens, which Ray would try for minutes, and those of Ray's client."""
    if address.startswith(_CLIENT):
        raise JobError(
            f"--ray {address}: Ray Data, which does the work, cannot be asked by Ray's client; run the command on a "
            "machine of the cluster, with --ray auto"
        )
    host, _, port = address.rpartition(":")
    if not (host and port.isdigit()):
        raise JobError(f"--ray {address}: an address is auto, local or host:port")
    try:
        socket.create_connection((host.strip("[]"), int(port)), _ANSWER_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise JobError(
            f"--ray {address}: no cluster there: {getattr(error, 'strerror', None) or error}; see that it runs "
            "(`ray status` on one of its machines), or take --ray local"
        ) from error


def job_error_of(error: BaseException | None) -> JobError | None:
    """Return what a worker said of the end of the job, out of the errors that Ray has put around it."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, JobError):
            return error
        seen.add(id(error))
        error = getattr(error, "cause", None) or error.__cause__ or error.__context__
    return None
