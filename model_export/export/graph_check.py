"""What is checked of a graph before it is let through: each of its buckets, at the bucket's own shape.

A graph in fp32 or int8 runs on the machine that exports it. One in half precision is made for a GPU, and runs on it
where there is one. Elsewhere it is checked in two parts:

- that it computes the right thing: the graph as it lies in its file, widened to float32 (`widen`), against torch with
  the same rounded weights, within the tolerance of fp32;
- that half precision is enough for it: the torch model that was traced, in half precision, against torch in fp32. These
  are the figures that the bundle records, as `checked_with` torch. `bigbird inspect --check --checkpoint` on a machine
  with a GPU measures those of the graph itself.

Widening keeps the nodes and what the weights hold, so that machines without half-precision kernels can run the graph.
"""

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
import onnx_ir as ir

from bigbird_inference.host_memory import peak_rise
from bigbird_inference.manifest import AttentionKernelName, Manifest, Parity, Precision
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.devices import DeviceUnavailable
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Session
from model_export.export.buckets import BucketPlan
from model_export.export.references import References, TorchSession
from model_export.export.trace import HALF_TYPES
from model_export.export.verify import Verifier
from model_export.nn.model import BigBird
from model_export.nn.precision import rounded

_HALF_TENSORS = frozenset({ir.DataType.FLOAT16, ir.DataType.BFLOAT16})


def widen(graph: ir.Model) -> None:
    """Make every half-precision value of a graph a float32 one, in place; what the weights hold stays the same."""
    for value in graph.graph.initializers.values():
        if value.const_value is not None and value.const_value.dtype in _HALF_TENSORS:
            value.const_value = _widened_tensor(value.const_value)
            value.dtype = ir.DataType.FLOAT
    for node in graph.graph.all_nodes():
        for name, attribute in list(node.attributes.items()):
            if attribute.type == ir.AttributeType.TENSOR and attribute.value.dtype in _HALF_TENSORS:
                node.attributes[name] = ir.AttrTensor(name, _widened_tensor(attribute.value))
            if node.op_type == "Cast" and name == "to" and attribute.value in _HALF_TENSORS:
                node.attributes[name] = ir.AttrInt64(name, ir.DataType.FLOAT)
        for output in node.outputs:
            if output.dtype in _HALF_TENSORS:
                output.dtype = ir.DataType.FLOAT


def _widened_tensor(tensor: ir.TensorProtocol) -> ir.TensorProtocol:
    return ir.tensor(np.asarray(tensor.numpy()).astype(np.float32), name=tensor.name)


class OpenGraph(Protocol):
    """Loads a graph for a device."""

    def __call__(self, graph: Path, device: Literal["cpu", "cuda"]) -> Session | None:
        """Return its session, or None if this machine has no such device."""
        ...


def graph_opener(manifest: Manifest) -> OpenGraph:
    """Return what loads the graphs of a bundle with the session that will serve them."""

    def open_graph(graph: Path, device: Literal["cpu", "cuda"]) -> Session | None:
        try:
            return open_session(graph, manifest, device=device, threads=available_cores(), own_arena=True)
        except DeviceUnavailable:
            if device == "cpu":
                raise
            return None

    return open_graph


@dataclass(frozen=True, slots=True)
class LoadedGraph:
    """A graph that can be compared with torch.

    Attributes:
        session: What will serve it, or stands in for that.
        kernel: Its attention kernel.
        verifier: Compares the session.
        widened: The same graph in fp32, where the session is not the graph itself.
        widened_verifier: Compares it.
    """

    session: Session
    kernel: AttentionKernelName
    verifier: Verifier
    widened: Session | None = None
    widened_verifier: Verifier | None = None

    def compare(self, bucket: int) -> Parity:
        """Return how far the outputs of a bucket are from torch's.

        Raises:
            ExportError: By more than the tolerance.
        """
        if self.widened is None or self.widened_verifier is None:
            return self.verifier.compare(bucket, self.session, self.kernel)
        self.widened_verifier.compare(bucket, self.widened, self.kernel)
        return self.verifier.compare(bucket, self.session, self.kernel, checked_with="torch")

    def peak_memory_bytes(self, bucket: int) -> int | None:
        """Return what one run of a filled bucket takes; ask before anything else has run, since memory is kept."""
        batch = self.verifier.filled_batch(bucket)
        return peak_rise(lambda: self.session.run(batch))


class GraphCheck:
    """Loads the graphs of a bundle for comparison.

    Args:
        references: Of the checkpoint's model, in float32.
        rounded_references: Of the same model with rounded weights (`rounded_model`), in half precision only.
        plans: The buckets.
        precision: Of the graphs.
        open_graph: Loads them.
        tolerance: Largest allowed difference (see `verify.TOLERANCES`); None for the precision's own.
    """

    def __init__(
        self,
        references: References,
        rounded_references: References | None,
        plans: Sequence[BucketPlan],
        precision: Precision,
        open_graph: OpenGraph,
        tolerance: float | None = None,
    ) -> None:
        self._verifier = Verifier(references, plans, precision=precision, tolerance=tolerance)
        self._rounded = None if rounded_references is None else Verifier(rounded_references, plans)
        self._signature = references.signature
        self._precision = precision
        self._open_graph = open_graph

    def unanswered_lengths(self) -> list[int]:
        """Return the lengths of documents, the longest first, that torch is still to be asked about."""
        return sorted({length for own in self._verifiers() for length in own.unanswered_lengths()}, reverse=True)

    def answer(self, length: int) -> None:
        """Ask torch about the document of a length."""
        for verifier in self._verifiers():
            verifier.answer(length)

    def _verifiers(self) -> list[Verifier]:
        return [self._verifier] if self._rounded is None else [self._verifier, self._rounded]

    def load(self, graph: Path, traced: BigBird, kernel: AttentionKernelName) -> LoadedGraph:
        """Load a graph.

        Args:
            graph: Its file.
            traced: The model that it was traced from.
            kernel: Its attention kernel.

        Raises:
            BundleError: It cannot be loaded.
        """
        session = self._open_graph(graph, "cuda" if self._precision in HALF_TYPES else "cpu")
        if session is not None:
            return LoadedGraph(session, kernel, self._verifier)
        with tempfile.TemporaryDirectory() as folder:
            widened = self._open_graph(_widened(graph, Path(folder)), "cpu")
        return LoadedGraph(TorchSession(traced, self._signature), kernel, self._verifier, widened, self._rounded)


def rounded_model(model: BigBird, precision: Precision) -> BigBird | None:
    """Return the float32 model whose weights are rounded to a half precision, or None for the other precisions."""
    return rounded(model, HALF_TYPES[precision]) if precision in HALF_TYPES else None


def _widened(graph: Path, folder: Path) -> Path:
    """Write the widened graph, with its weights, into a folder."""
    contents = ir.load(graph)
    widen(contents)
    ir.save(contents, folder / graph.name, external_data="weights.bin")
    return folder / graph.name
