"""What is checked of a bucket's graph before it is let through.

A graph in fp32 or int8 runs on the machine that exports it. One in half precision is made for a GPU, and runs on it
where there is one. Elsewhere it is checked in two parts:

- that it computes the right thing: the graph as it lies in its file, widened to float32 (`widen`), against torch with
  the same rounded weights, within the tolerance of fp32;
- that half precision is enough for it: the torch model that was traced, in half precision, against torch in fp32. These
  are the figures that the bundle records, as `checked_with` torch. `bigbird inspect --check --checkpoint` on a machine
  with a GPU measures those of the graph itself.
"""

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import onnx_ir as ir

from model_export.export.buckets import BucketPlan
from model_export.export.resident_memory import peak_rise
from model_export.export.signature import Signature
from model_export.export.torch_session import TorchSession
from model_export.export.traced_model import HALF_TYPES
from model_export.export.verify import Verifier
from model_export.export.widen import widen
from model_export.nn.half_precision import rounded
from model_export.nn.model import BigBird
from service.bundle import Parity, Precision
from service.runtime.session import Session


class OpenGraph(Protocol):
    """Loads a graph for a device."""

    def __call__(self, graph: Path, device: Literal["cpu", "cuda"]) -> Session | None:
        """Return its session, or None if this machine has no such device."""
        ...


@dataclass(frozen=True, slots=True)
class Measured:
    """How far a bucket is from torch, and what memory one document took, where that was measured."""

    parity: Parity
    peak_memory_bytes: int | None


class BucketCheck(Protocol):
    """Compares graphs with the model that they were made from."""

    def measure(self, bucket: BucketPlan, graph: Path) -> Measured:
        """Return what a graph's outputs differ by.

        Raises:
            ExportError: They differ by more than the tolerance.
            BundleError: The graph cannot be loaded.
        """
        ...


def bucket_check(
    model: BigBird,
    traced: BigBird,
    signature: Signature,
    precision: Precision,
    open_graph: OpenGraph,
    tolerance: float | None = None,
) -> BucketCheck:
    """Return the check of a bundle's graphs.

    Args:
        model: The checkpoint's, in float32.
        traced: What was traced of it.
        signature: Inputs and outputs of the graphs.
        precision: Of the graphs.
        open_graph: Loads them.
        tolerance: Largest allowed difference (see `verify.TOLERANCES`); None for the precision's own.
    """
    verifier = Verifier(model, signature, precision=precision, tolerance=tolerance)
    if precision in HALF_TYPES:
        in_two_parts = TorchSession(traced, signature), Verifier(rounded(model, HALF_TYPES[precision]), signature)
        return HalfPrecisionCheck(verifier, *in_two_parts, open_graph)
    return WholeCheck(verifier, open_graph)


class WholeCheck:
    """Runs the graph itself on the CPU.

    Args:
        verifier: Compares its outputs.
        open_graph: Loads it.
    """

    def __init__(self, verifier: Verifier, open_graph: OpenGraph) -> None:
        self._verifier = verifier
        self._open_graph = open_graph

    def measure(self, bucket: BucketPlan, graph: Path) -> Measured:
        """Run and compare; see `BucketCheck`."""
        session = _on_the_cpu(self._open_graph, graph)
        longest = self._verifier.largest_batch(bucket)
        # Measured first: later runs reuse the memory of earlier ones.
        peak_memory_bytes = peak_rise(lambda: session.run(longest))
        return Measured(self._verifier.compare(bucket, session), peak_memory_bytes)


class HalfPrecisionCheck:
    """Runs the graph on a GPU, or checks it in two parts without one.

    Args:
        verifier: Compares half-precision outputs with those of the float32 model.
        half: The model that was traced.
        rounded_verifier: Compares float32 outputs with those of the float32 model with rounded weights.
        open_graph: Loads graphs.
    """

    def __init__(self, verifier: Verifier, half: Session, rounded_verifier: Verifier, open_graph: OpenGraph) -> None:
        self._verifier = verifier
        self._half = half
        self._rounded_verifier = rounded_verifier
        self._open_graph = open_graph

    def measure(self, bucket: BucketPlan, graph: Path) -> Measured:
        """Run and compare; see `BucketCheck`. Memory is not measured: it would not be the GPU's."""
        session = self._open_graph(graph, "cuda")
        if session is not None:
            return Measured(self._verifier.compare(bucket, session), None)
        with tempfile.TemporaryDirectory() as folder:
            self._rounded_verifier.compare(bucket, _on_the_cpu(self._open_graph, _widened(graph, Path(folder))))
        return Measured(self._verifier.compare(bucket, self._half, checked_with="torch"), None)


def _widened(graph: Path, folder: Path) -> Path:
    """Write the widened graph, with its weights, into a folder."""
    contents = ir.load(graph)
    widen(contents)
    ir.save(contents, folder / graph.name, external_data="weights.bin")
    return folder / graph.name


def _on_the_cpu(open_graph: OpenGraph, graph: Path) -> Session:
    session = open_graph(graph, "cpu")
    assert session is not None, "there is always a CPU"
    return session
