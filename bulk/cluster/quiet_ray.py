"""Ray without its reports of use: imported here and nowhere else, because it looks at the switch when imported.

Left alone, Ray collects what a cluster is used for and sends it to its makers, and serves a dashboard. The variable
stops the reports of clusters that are started from here, and is handed on to their processes; a cluster that others
have started has its own switch (docs/cluster.md).
"""

import contextlib
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

from bigbird_inference.extras import install_command
from bulk.errors import JobError

os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
# The next version's way with GPUs, which is told on standard error otherwise.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

try:
    import ray as ray
    import ray.data
except ImportError as missing:
    raise JobError(f"--ray needs the package {missing.name!r}: {install_command('ray')}") from missing

LOCAL, FOUND = "local", "auto"
_CLIENT = "ray://"
_ANSWER_SECONDS = 10


@contextlib.contextmanager
def connected(address: str, *, dashboard: bool = False) -> Iterator[None]:
    """Be a driver of a cluster.

    Args:
        address: `local` for one on this machine that ends with the block, `auto` for the one that this machine is part
            of, `host:port`, or `ray://host:port` for one that it is no part of.
        dashboard: Whether one that is started here has a dashboard, on the loopback interface.

    Raises:
        JobError: There is none, or it is of another version of Ray or Python.
    """
    options: dict[str, Any] = {"logging_level": logging.ERROR, "log_to_driver": False}
    if address == LOCAL:
        options |= {"include_dashboard": dashboard, "dashboard_host": "127.0.0.1", "_node_ip_address": "127.0.0.1"}
    elif address != FOUND:
        _answers(address)
    for name in ("ray", "ray.data"):
        logging.getLogger(name).setLevel(logging.ERROR)
    try:
        ray.init(address=address, **options)
    except Exception as error:
        raise JobError(
            f"--ray {address}: no cluster that can be used: {' '.join(str(error).split()):.300}; start one with "
            "`ray start`, or take --ray local"
        ) from error
    try:
        yield
    finally:
        ray.shutdown()


def _answers(address: str) -> None:
    """Refuse an address where nothing listens; Ray itself would try for minutes."""
    host, _, port = address.removeprefix(_CLIENT).rpartition(":")
    if not (host and port.isdigit()):
        raise JobError(f"--ray {address}: an address is auto, local, host:port or ray://host:port")
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
