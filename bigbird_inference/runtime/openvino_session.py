"""The session that runs a graph on OpenVINO, on the CPU.

OpenVINO reads the bundle's graphs as they are, and can compute in bfloat16 what they have in float32, where the
processor has units for that. One compiled model serves every length, as one session of onnxruntime does.
"""

import logging
import threading
import traceback
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import CpuPrecision, Manifest, Tensor
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.external_data import check_external_data
from bigbird_inference.runtime.graph_signature import check_signature
from bigbird_inference.runtime.session import Batch, Outputs, RunControl, RunTerminated, meaning_of

logger = logging.getLogger(__name__)

_DEVICE = "CPU"
_HINTS: dict[CpuPrecision, str] = {"fp32": "f32", "bf16": "bf16"}
_ELEMENT_TYPES = {"i64": "int64", "f32": "float32"}
_BFLOAT16 = "BF16"
_QUANTISED_TOGETHER = 128
WHOLE_LENGTHS = 16
"""Padded lengths must be multiples of this, for a document to have the same numbers in all of them: a softmax sums what
fills a vector of the processor (of at most 512 bits) in another order than what is left over."""


class OpenVinoSession:
    """One graph, loaded.

    A compiled model whose run failed or was ended keeps what its operators knew of that run's shapes: later runs fail,
    or are computed in shapes that are not theirs. So it is compiled again then, by the next run.

    Args:
        model: The graph, as OpenVINO read it.
        properties: Of the compiled model.
    """

    def __init__(self, model: Any, properties: dict[str, Any]) -> None:
        self._model = model
        self._properties = properties
        self._inputs = [port.any_name for port in model.inputs]
        self._outputs = [port.any_name for port in model.outputs]
        self._one_run = threading.Lock()
        self._request: Any = self._compiled()

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        """Return every output by name, float32, batch axis first.

        Raises:
            RunTerminated: The control ended the run, or had been terminated before it.
            OutOfMemory: The device had no room for the batch.
            ValueError: The graph takes positions, and the batch has none.
        """
        feeds = batch.feeds(self._inputs)
        with self._one_run:
            if control is not None and control.terminated:
                raise RunTerminated("the run was ended before it began")
            try:
                return self._run(feeds, control)
            except Exception as error:
                self._request = None
                # Nor does the error keep it in memory, for as long as somebody has that.
                traceback.clear_frames(error.__traceback__)
                meaning = meaning_of(error)
                if meaning is None:
                    raise
                raise meaning from error

    def _run(self, feeds: dict[str, Any], control: RunControl | None) -> Outputs:
        if self._request is None:
            self._request = self._compiled()
        request = self._request
        cancel = _Cancel(request)
        request.start_async(feeds, share_inputs=True)
        if control is not None:
            control.attach(cancel.now)
        try:
            request.wait()
        finally:
            cancel.too_late()
        # Copies: the next run writes into the same memory.
        return {name: np.array(request.get_tensor(name).data) for name in self._outputs}

    def _compiled(self) -> Any:
        return _core().compile_model(self._model, _DEVICE, self._properties).create_infer_request()


class _Cancel:
    """Cancels a run, and not the next one of the same request."""

    def __init__(self, request: Any) -> None:
        self._request = request
        self._lock = threading.Lock()

    def now(self) -> None:
        with self._lock:
            if self._request is not None:
                self._request.cancel()

    def too_late(self) -> None:
        with self._lock:
            self._request = None


def open_openvino_session(graph: Path, manifest: Manifest, *, precision: CpuPrecision, threads: int) -> OpenVinoSession:
    """Load a graph and check that its inputs and outputs are those of the manifest.

    Args:
        graph: The `.onnx` file, or a `.xml` of OpenVINO's format, whose weights lie beside it in a `.bin`.
        manifest: The manifest of its bundle.
        precision: What float32 is computed in.
        threads: Threads of a run.

    Raises:
        BundleError: OpenVINO cannot load the graph, it does not fit the manifest, or it would read another file than
            the weights.
    """
    own_format = graph.suffix == ".xml"
    if not own_format:
        check_external_data(graph, manifest.weights.file)
    try:
        model = _core().read_model(graph, graph.with_suffix(".bin")) if own_format else _core().read_model(graph)
        check_signature(graph, manifest, _tensors(model.inputs), _tensors(model.outputs))
        session = OpenVinoSession(model, session_properties(precision, threads))
    except RuntimeError as error:
        raise BundleError(f"{graph}: OpenVINO cannot load it: {_said(error)}") from error
    # Where bundles lie is nobody's business who reads a log.
    logger.info("loaded %s/%s on OpenVINO in %s", graph.parent.name, graph.name, precision)
    return session


def session_properties(precision: CpuPrecision, threads: int) -> dict[str, Any]:
    """Return properties with which one run has all threads, and shares the cores with other processes.

    Pinned, the threads of two processes would wait for each other on the same cores while others are free.

    Where weights alone are in 8 bits, a token's activations get a range of their own for each group of numbers. Groups
    of 128 are as accurate as OpenVINO's own choice of 32, and a run takes 0.8 times as long.

    Args:
        precision: What float32 is computed in.
        threads: Threads of a run.
    """
    return {
        "INFERENCE_PRECISION_HINT": _HINTS[precision],
        "INFERENCE_NUM_THREADS": threads,
        "PERFORMANCE_HINT": "LATENCY",
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": _QUANTISED_TOGETHER,
    }


def computes_bfloat16() -> bool:
    """Tell whether this processor has units for products in bfloat16 (AMX, or AVX-512 with BF16)."""
    return _BFLOAT16 in _core().get_property(_DEVICE, "OPTIMIZATION_CAPABILITIES")


@cache
def _core() -> Any:
    """Return what reads and compiles models; one for the process."""
    return quiet_openvino.imported().Core()


def _tensors(ports: Any) -> list[Tensor]:
    return [
        Tensor(
            port.any_name,
            _ELEMENT_TYPES.get(port.element_type.get_type_name(), port.element_type.get_type_name()),
            [str(axis) if axis.is_dynamic else axis.get_length() for axis in port.partial_shape],
        )
        for port in ports
    ]


def _said(error: Exception) -> str:
    """Return the last line of a message; those before it are places in OpenVINO's sources."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__
