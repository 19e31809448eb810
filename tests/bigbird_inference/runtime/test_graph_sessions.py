from dataclasses import replace
from pathlib import Path

import pytest

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Attention, AttentionKernelName, Manifest
from bigbird_inference.runtime.graph_sessions import open_sessions
from tests.fake_model import FakeSession, fake_bucket, fake_graph, fake_manifest

EDGE = (5 + 2 * 3) * 8


def bundle(
    full: list[int], block_sparse: list[int], max_length: int, kernels: tuple[AttentionKernelName, ...] = ("composed",)
) -> Bundle:
    kinds: tuple[Attention, ...] = ("full", "block_sparse")
    graphs = [
        replace(fake_graph(128, kind), attention_kernel=kernel, file=f"{kind}-{kernel}.onnx")
        for kind in kinds
        for kernel in kernels
    ]
    buckets = [fake_bucket(length) for length in full] + [
        fake_bucket(length, "block_sparse") for length in block_sparse
    ]
    manifest = replace(fake_manifest("ner"), graphs=graphs, buckets=buckets, max_length=max_length)
    return Bundle(Path("bundles/ner"), manifest)


class Opener:
    """Opens anything, and remembers what."""

    def __init__(self) -> None:
        self.opened: list[str] = []

    def __call__(self, graph: Path, manifest: Manifest) -> FakeSession:
        self.opened.append(graph.as_posix())
        return FakeSession()


def test_a_graph_is_opened_once_however_many_buckets_it_has() -> None:
    opener = Opener()
    sessions = open_sessions(bundle([EDGE, 8, 16, 64], [96, 128], max_length=128), opener).sessions
    assert list(sessions) == ["full", "block_sparse"]
    assert opener.opened == ["bundles/ner/full-composed.onnx", "bundles/ner/block_sparse-composed.onnx"]


def test_a_graph_without_buckets_is_not_opened() -> None:
    opener = Opener()
    assert list(open_sessions(bundle([EDGE, 8], [], max_length=EDGE), opener).sessions) == ["full"]
    assert opener.opened == ["bundles/ner/full-composed.onnx"]


@pytest.mark.parametrize(
    ("kernels", "opened"),
    [
        pytest.param(("composed", "fused"), "composed", id="of two"),
        pytest.param(("fused",), "fused", id="the only one"),
    ],
)
def test_of_two_kernels_the_one_of_standard_operators_is_opened(
    kernels: tuple[AttentionKernelName, ...], opened: AttentionKernelName
) -> None:
    opener = Opener()
    open_sessions(bundle([8], [], 8, kernels), opener)
    assert opener.opened == [f"bundles/ner/full-{opened}.onnx"]


@pytest.mark.parametrize(
    ("full", "block_sparse", "max_length", "problem"),
    [
        pytest.param([8, 8], [], 8, "same length", id="two buckets of one length"),
        pytest.param([8], [], 16, "none holds max_length 16", id="no bucket for the longest sequence"),
        pytest.param([8], [128], 128, f"meet at {EDGE}", id="nothing at the edge"),
        pytest.param([], [128], 128, f"meet at {EDGE}", id="no full bucket"),
        pytest.param([EDGE, 96], [128], 128, f"meet at {EDGE}", id="a full bucket beyond the edge"),
        pytest.param([EDGE], [16, 128], 128, f"meet at {EDGE}", id="a block-sparse bucket below the edge"),
    ],
)
def test_buckets_that_would_mix_attention_kinds_are_refused(
    full: list[int], block_sparse: list[int], max_length: int, problem: str
) -> None:
    with pytest.raises(BundleError, match=problem) as error:
        open_sessions(bundle(full, block_sparse, max_length), lambda graph, manifest: FakeSession())
    assert "manifest.json" in str(error.value)


def test_a_graph_of_both_kinds_of_attention_is_opened_once() -> None:
    given = bundle([EDGE, 8], [96, 128], max_length=128)
    joined = [replace(graph, file="graph.onnx") for graph in given.manifest.graphs]
    opener = Opener()
    sessions = open_sessions(replace(given, manifest=replace(given.manifest, graphs=joined)), opener).sessions
    assert sessions["full"] is sessions["block_sparse"]
    assert opener.opened == ["bundles/ner/graph.onnx"]
