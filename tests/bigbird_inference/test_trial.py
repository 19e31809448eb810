"""Graphs that loop, eat memory or cannot run, tried in a process of their own."""

import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.bundle import open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.runtime.session import OutOfMemory
from bigbird_inference.trial import Limits, limits_of, try_bundle
from tests.fake_model import fake_bucket, fake_manifest
from tests.hostile_bundles import endless, folded, hungry, one_for_each_token, sums, write_bundle

MEGABYTE = 2**20
# Far more than a graph of four operators needs, and reached soon.
LIMITS = Limits(300 * MEGABYTE, seconds=8)


def attempt(folder: Path, limits: Limits | None = LIMITS) -> None:
    try_bundle(open_bundle(folder), 1, CpuChoice(), threading.Event(), limits)


def test_a_graph_that_runs_passes(tmp_path: Path) -> None:
    write_bundle(tmp_path / "good", sums())
    attempt(tmp_path / "good")


@pytest.mark.parametrize(
    ("nodes", "limits", "said"),
    [
        pytest.param(endless, Limits(300 * MEGABYTE, 2), "have not ended after 2 s", id="a loop of 2^62 trips"),
        pytest.param(hungry, LIMITS, "take more than 0.3 GB of memory", id="12 GB in a run"),
        pytest.param(folded, LIMITS, "take more than 0.3 GB of memory", id="12 GB while it is loaded"),
    ],
)
def test_a_graph_that_goes_too_far_is_ended(
    tmp_path: Path, nodes: Callable[[], list[Any]], limits: Limits, said: str
) -> None:
    write_bundle(tmp_path / "bad", nodes())
    with pytest.raises(BundleError, match=said) as refused:
        attempt(tmp_path / "bad", limits)
    assert str(refused.value).startswith(f"{tmp_path / 'bad'}: ") and str(refused.value).isprintable()


def test_what_the_machine_has_not_is_told_from_what_a_bundle_may_not(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bad", hungry())
    with pytest.raises(BundleError, match="more memory than is available") as refused:
        attempt(tmp_path / "bad", replace(LIMITS, ends_at_available=True))
    assert isinstance(refused.value.__cause__, OutOfMemory)


def test_an_output_of_another_shape_is_refused_though_the_graph_leaves_it_open(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bad", one_for_each_token(), outputs="open")
    with pytest.raises(BundleError, match=r"gives logits of the shape \[1, 16\] .* says \['batch', 2\]"):
        attempt(tmp_path / "bad")


def test_a_graph_that_cannot_be_loaded_is_named(tmp_path: Path) -> None:
    nodes = sums()
    nodes[0].op_type = "NoOperator"
    write_bundle(tmp_path / "bad", nodes)
    with pytest.raises(BundleError, match=r"bad/graph-full\.onnx: onnxruntime cannot load it"):
        attempt(tmp_path / "bad")


def test_a_trial_that_is_given_up_is_ended(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bad", endless())
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(BundleError, match="given up"):
        try_bundle(open_bundle(tmp_path / "bad"), 1, CpuChoice(), given_up, Limits(300 * MEGABYTE, 600))


def test_a_trial_ends_with_the_process_that_waits_for_it(tmp_path: Path) -> None:
    write_bundle(tmp_path / "bad", endless())
    command = [sys.executable, "-m", "bigbird_inference.trial", str(tmp_path / "bad"), "1"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(timeout=60) == 1


def manifest(weights: int, peak: int | None, longest: int) -> Manifest:
    plain = fake_manifest("classify")
    bucket = replace(fake_bucket(longest), peak_memory_bytes=peak)
    return replace(plain, weights=replace(plain.weights, bytes=weights), buckets=[fake_bucket(8), bucket])


@pytest.mark.parametrize(
    ("manifest", "available", "limits"),
    [
        # By hand: 512 MB, three times the weights, three times the recorded run; 20 s and a quarter for each MB.
        pytest.param(
            manifest(8 * MEGABYTE, 70 * MEGABYTE, 4096), None, Limits(746 * MEGABYTE, 22.0), id="the demo models"
        ),
        pytest.param(
            manifest(486 * MEGABYTE, 353 * MEGABYTE, 4096),
            8192 * MEGABYTE,
            Limits(3029 * MEGABYTE, 141.5),
            id="the base configuration",
        ),
        pytest.param(
            manifest(8 * MEGABYTE, 2**62, 8192),
            1000 * MEGABYTE,
            Limits(950 * MEGABYTE, 28.0, ends_at_available=True),
            id="never more than there is, and four times the time at twice the length",
        ),
        pytest.param(
            manifest(2**40, None, 2**20),
            None,
            Limits(3 * 2**40 + 3 * (2**40 + 512 * MEGABYTE) + 512 * MEGABYTE, 1800.0),
            id="never longer than half an hour",
        ),
    ],
)
def test_limits_follow_the_manifest(manifest: Manifest, available: int | None, limits: Limits) -> None:
    assert limits_of(manifest, available) == limits
