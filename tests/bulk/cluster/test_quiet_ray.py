"""Clusters that a process starts for itself."""

import os
import subprocess
import sys

import pytest

from tests.foreign_programs import need_package
from tests.two_ray_nodes import ROOT

PROGRAM = """
from bulk.cluster.quiet_ray import connected, ray
for number in range(2):
    with connected("local"):
        assert ray.get(ray.remote(lambda given: given).remote(number)) == number
"""


@pytest.mark.integration  # Ray takes long to start
def test_a_process_may_have_one_cluster_after_the_other() -> None:
    need_package("ray")
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    ended = subprocess.run(
        [sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
