"""A cluster of Ray of two nodes on this machine, each with a CPU; the second comes and goes."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.foreign_programs import need_package

ROOT = Path(__file__).resolve().parents[1]
_NOWHERE = "http://127.0.0.1:9"
SILENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_USAGE_STATS_REPORT_URL": _NOWHERE,
    "http_proxy": _NOWHERE,
    "no_proxy": "127.0.0.1",
}
"""Without reports of use, the word that there are none, and questions about the cloud."""


class TwoNodes:
    """The first node, and perhaps the second.

    Attributes:
        address: Of the cluster.
    """

    def __init__(self) -> None:
        self._node: dict[str, Any] = {"num_cpus": 1, "object_store_memory": 100 * 2**20}
        self._cluster = _started({**self._node, "include_dashboard": False})
        self._second: Any = None
        self.address: str = self._cluster.address

    def add(self, **variables: str) -> None:
        """Start the second node, with variables of its own."""
        self._second = self._cluster.add_node(**self._node, env_vars=variables or None)
        self._cluster.wait_for_nodes()

    def kill(self) -> None:
        """End every process of the second node, as if its machine had lost its power."""
        self._cluster.remove_node(self._second, allow_graceful=False)

    def end(self) -> None:
        """End both, and this process's connection to them."""
        import ray

        ray.shutdown()
        self._cluster.shutdown()


def _started(head: dict[str, Any]) -> Any:
    """Return a cluster of one node; Ray gives it half a minute to start, which a busy machine may need several of."""
    from ray.cluster_utils import Cluster

    for attempt in range(5):
        try:
            return Cluster(initialize_head=True, head_node_args=head)
        except Exception as error:
            if attempt == 4 or "timed out during startup" not in str(error):
                raise
    raise AssertionError


@contextmanager
def two_ray_nodes(**variables: str) -> Iterator[TwoNodes]:
    """Start the first node, with variables of its own."""
    need_package("ray")
    with pytest.MonkeyPatch.context() as patched:
        for name, value in {**SILENT, "PYTHONPATH": str(ROOT), **variables}.items():
            patched.setenv(name, value)
        nodes = TwoNodes()
        try:
            yield nodes
        finally:
            nodes.end()
