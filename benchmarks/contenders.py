"""The ways to run one model that are compared, each for one padded length and with every core."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.base_checkpoint import base_bundle, base_checkpoint
from benchmarks.limited_worker import reason
from benchmarks.openvino_peers import OpenVinoModel, quantised_transformers
from benchmarks.peak_memory import peak_memory, reset_peak_memory, resident_memory
from benchmarks.random_documents import random_batch
from benchmarks.transformers_models import CompiledModel, EagerModel, TracedModel, traced_transformers
from benchmarks.worker import Worker, WorkerFailed
from bigbird_inference.bundle import read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import CpuPrecision, CpuRuntime, Precision
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.graph_sessions import SessionOpener
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.openvino_session import computes_bfloat16, open_openvino_session
from bigbird_inference.runtime.session import Batch
from model_export.export import nncf_quantise

FloatArray = npt.NDArray[np.float32]
Run = Callable[[Batch], FloatArray]

BLOCK_SPARSE = "transformers block_sparse fp32"
BLOCK_SPARSE_BF16 = "transformers block_sparse bf16"
FULL = "transformers original_full fp32"
COMPILED = "transformers, torch.compile fp32"
COMPILED_BF16 = "transformers, torch.compile bf16"
TRACED = "transformers traced, onnxruntime fp32"
TRACED_OPENVINO = "transformers traced, OpenVINO fp32"
TRACED_OPENVINO_BF16 = "transformers traced, OpenVINO bf16"
TRACED_INT8_WEIGHTS = "transformers traced, OpenVINO, NNCF int8 weights"
TRACED_INT8 = "transformers traced, OpenVINO, NNCF int8"
OURS = "ours fp32"
OURS_INT8 = "ours int8"
OURS_OPENVINO = "ours, OpenVINO fp32"
OURS_OPENVINO_BF16 = "ours, OpenVINO bf16"
OURS_OPENVINO_INT8 = "ours, OpenVINO int8"
ALL_OURS = (OURS, OURS_INT8, OURS_OPENVINO, OURS_OPENVINO_BF16, OURS_OPENVINO_INT8)

_WARM_RUNS = 2

# Its time grows with the square of the length, and beyond it is another function: 4,096 tokens take half a minute.
_LONGEST_FULL = 1024

_FP32_TOLERANCE = 1e-3
# Between what 8 bits do to these logits (0.1) and what full attention instead of block-sparse does (0.25 and more).
_REDUCED_TOLERANCE = 0.2
# Of a graph that is compared in fp32, too: it is known to be the right function, and fewer bits do more to it.
_SAME_GRAPH_TOLERANCE = 1.0


@dataclass(frozen=True, slots=True)
class Contender:
    """One way to run the model at one length.

    Attributes:
        load: Loads it; called in a process of its own.
        precision: Whose matrix-product rate bounds it: fp32, bf16 or int8.
        tolerance: Largest allowed difference of its logits from `BLOCK_SPARSE`, in standard deviations of these; None
            for a model that is another function.
        documents: How many at a time; the first is 1.
        always_full: Whether it attends to everything at every length.
    """

    load: Callable[[], Run]
    precision: str = "fp32"
    tolerance: float | None = _FP32_TOLERANCE
    documents: tuple[int, ...] = (1,)
    always_full: bool = False


class Contenders(NamedTuple):
    """Who runs.

    Attributes:
        compared: By name, the one that the others are compared with first.
        left_out: Why others do not run, by name.
    """

    compared: dict[str, Contender]
    left_out: dict[str, str]


def contenders(
    length: int, buckets: Mapping[Precision, Sequence[int]], layers: int, batches: Sequence[int]
) -> Contenders:
    """Return the contenders at one length.

    What they load is made here, if it is not there yet.

    Args:
        length: Padded length in tokens.
        buckets: Of our bundles, by their precision.
        layers: Of the model.
        batches: Documents at a time for ours in onnxruntime, as far as its bundle allows them.
    """
    checkpoint = base_checkpoint(layers)
    eager = partial(EagerModel, checkpoint, length)
    compiled = partial(CompiledModel, checkpoint, length)
    traced = traced_transformers(length, layers)
    fp32 = _exported_apart("fp32", buckets["fp32"], layers)
    int8 = _exported_apart("int8", buckets["int8"], layers)
    ours = partial(OurModel, fp32, length)
    ours_int8 = partial(OurModel, int8, length)
    compared = {
        BLOCK_SPARSE: Contender(partial(eager, "block_sparse", torch.float32)),
        BLOCK_SPARSE_BF16: Contender(partial(eager, "block_sparse", torch.bfloat16), "bf16", _REDUCED_TOLERANCE),
        FULL: Contender(partial(eager, "original_full", torch.float32), tolerance=None, always_full=True),
        COMPILED: Contender(partial(compiled, torch.float32)),
        COMPILED_BF16: Contender(partial(compiled, torch.bfloat16), "bf16", _REDUCED_TOLERANCE),
        TRACED: Contender(partial(TracedModel, traced)),
        TRACED_OPENVINO: Contender(partial(OpenVinoModel, traced, "fp32")),
        TRACED_OPENVINO_BF16: Contender(partial(OpenVinoModel, traced, "bf16"), "bf16", _SAME_GRAPH_TOLERANCE),
        OURS: Contender(ours, documents=_allowed(batches, fp32)),
        OURS_INT8: Contender(ours_int8, "int8", _REDUCED_TOLERANCE, documents=_allowed(batches, int8)),
        OURS_OPENVINO: Contender(partial(ours, "openvino")),
        OURS_OPENVINO_BF16: Contender(partial(ours, "openvino", "bf16"), "bf16", _REDUCED_TOLERANCE),
    }
    if length > _LONGEST_FULL:
        del compared[FULL]
    left_out = cannot_run_here()
    # In float32 beside the integers where the processor has nothing faster, as OpenVINO itself decides.
    rest: CpuPrecision = "fp32" if OURS_OPENVINO_BF16 in left_out else "bf16"
    for name, calibrated in {TRACED_INT8_WEIGHTS: False, TRACED_INT8: True}.items():
        if name not in left_out:
            try:
                graph = quantised_transformers(length, layers, calibrated=calibrated)
            except WorkerFailed as error:
                left_out[name] = reason(error)
            else:
                compared[name] = Contender(partial(OpenVinoModel, graph, rest), "int8", _SAME_GRAPH_TOLERANCE)
    compared[OURS_OPENVINO_INT8] = Contender(partial(ours_int8, "openvino", rest), "int8", _SAME_GRAPH_TOLERANCE)
    return Contenders({name: contender for name, contender in compared.items() if name not in left_out}, left_out)


def cannot_run_here() -> dict[str, str]:
    """Return why contenders cannot run on this machine, by name."""
    quantised = (TRACED_INT8_WEIGHTS, TRACED_INT8, OURS_OPENVINO_INT8)
    in_bf16 = (TRACED_OPENVINO_BF16, OURS_OPENVINO_BF16)
    if not quiet_openvino.installed():
        absent = (TRACED_OPENVINO, OURS_OPENVINO, *in_bf16, *quantised)
        return dict.fromkeys(absent, "OpenVINO is not installed; the extra `bench` brings it")
    left_out: dict[str, str] = {}
    if not nncf_quantise.installed():
        left_out |= dict.fromkeys(quantised, "NNCF is not installed; the extra `bench` brings it")
    if not computes_bfloat16():
        left_out |= dict.fromkeys(in_bf16, "this processor has no units for bfloat16")
    return left_out


def _exported_apart(precision: Precision, buckets: Sequence[int], layers: int) -> Path:
    """Return the bundle; an export takes gigabytes, which this process would keep beside those that are measured."""
    with Worker(f"exporting {precision}", base_bundle, precision, buckets, layers) as worker:
        worker.wait_until_made()
    return base_bundle(precision, buckets, layers)


def _allowed(batches: Sequence[int], bundle: Path) -> tuple[int, ...]:
    most = read_manifest(bundle).max_batch_items
    return tuple(documents for documents in batches if most is None or documents <= most)


class OurModel:
    """A bucket of one of our bundles, loaded as the service loads it.

    Args:
        bundle: Its folder.
        length: Of the bucket.
        runtime: What runs it.
        precision: What the runtime computes in where the graph has float32.

    Raises:
        BundleError: It is not recorded in the manifest, so that the service would not run it.
    """

    def __init__(
        self, bundle: Path, length: int, runtime: CpuRuntime = "onnxruntime", precision: CpuPrecision = "fp32"
    ) -> None:
        manifest = read_manifest(bundle)
        opener: SessionOpener = partial(open_session, device="cpu", threads=available_cores())
        if runtime == "openvino":
            measured = {run.precision: run for run in manifest.cpu_runs if run.runtime == runtime}
            if precision not in measured:
                raise BundleError(f"OpenVINO in {precision} was too far off when the bundle was exported")
            manifest = manifest.as_run_by(measured[precision])
            opener = partial(open_openvino_session, precision=precision, threads=available_cores())
        graph = next(graph for graph in manifest.graphs if graph.takes(length))
        self._session = opener(bundle / graph.file, manifest)

    def __call__(self, batch: Batch) -> FloatArray:
        """Return logits."""
        return self._session.run(batch)["logits"]


class TimedModel:
    """A loaded contender, in its process.

    Args:
        load: Loads it.
        length: In tokens.
    """

    def __init__(self, load: Callable[[], Run], length: int) -> None:
        torch.set_num_threads(available_cores())
        self._before = resident_memory()
        self._run = load()
        self._length = length
        reset_peak_memory()

    def warm(self, documents: int) -> tuple[FloatArray, float]:
        """Run twice, each time other documents; return the logits of all and the seconds of the second run.

        The first two runs of a shape fault in their memory.
        """
        logits, seconds = [], 0.0
        for number in range(_WARM_RUNS):
            batch = random_batch(range(number * documents, (number + 1) * documents), self._length)
            begin = time.perf_counter()
            logits.append(self._run(batch))
            seconds = time.perf_counter() - begin
        return np.concatenate(logits), seconds

    def seconds(self, documents: int) -> float:
        """Time one run."""
        batch = random_batch(range(documents), self._length)
        begin = time.perf_counter()
        self._run(batch)
        return time.perf_counter() - begin

    def peak_memory(self) -> int:
        """Return the most bytes that were resident since it was loaded, weights included, libraries not."""
        return peak_memory() - self._before
