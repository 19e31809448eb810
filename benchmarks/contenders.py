"""The ways to run one model that are compared, each for one padded length and with every core."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from benchmarks.base_checkpoint import base_bundle, base_checkpoint
from benchmarks.peak_memory import peak_memory, reset_peak_memory, resident_memory
from benchmarks.transformers_models import EagerModel, TracedModel, traced_transformers
from benchmarks.worker import Worker
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import Precision
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch

FloatArray = npt.NDArray[np.float32]
Run = Callable[[Batch], FloatArray]

BLOCK_SPARSE = "transformers block_sparse fp32"
BLOCK_SPARSE_BF16 = "transformers block_sparse bf16"
FULL = "transformers original_full fp32"
TRACED = "transformers traced, onnxruntime fp32"
OURS = "ours fp32"
OURS_INT8 = "ours int8"

# Plain pieces: control tokens have smaller ids.
_TOKEN_IDS = (200, 50_358)
_WARM_RUNS = 2

_FP32_TOLERANCE = 1e-3
# Between what 8 bits do to these logits (0.1) and what full attention instead of block-sparse does (0.25 and more).
_REDUCED_TOLERANCE = 0.2


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


def contenders(
    length: int, buckets: Mapping[Precision, Sequence[int] | None], layers: int, batches: Sequence[int]
) -> dict[str, Contender]:
    """Return the contenders by name, the one that the others are compared with first.

    What they load is made here, if it is not there yet.

    Args:
        length: Padded length in tokens.
        buckets: Of our bundles, by their precision.
        layers: Of the model.
        batches: Documents at a time for ours, as far as its bundle allows them.
    """
    eager = partial(EagerModel, base_checkpoint(layers), length)
    fp32 = _exported_apart("fp32", buckets["fp32"], layers)
    int8 = _exported_apart("int8", buckets["int8"], layers)
    return {
        BLOCK_SPARSE: Contender(partial(eager, "block_sparse", torch.float32)),
        BLOCK_SPARSE_BF16: Contender(partial(eager, "block_sparse", torch.bfloat16), "bf16", _REDUCED_TOLERANCE),
        FULL: Contender(partial(eager, "original_full", torch.float32), tolerance=None, always_full=True),
        TRACED: Contender(partial(TracedModel, traced_transformers(length, layers))),
        OURS: Contender(partial(OurModel, fp32, length), documents=_allowed(batches, fp32)),
        OURS_INT8: Contender(
            partial(OurModel, int8, length), "int8", _REDUCED_TOLERANCE, documents=_allowed(batches, int8)
        ),
    }


def _exported_apart(precision: Precision, buckets: Sequence[int] | None, layers: int) -> Path:
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
    """

    def __init__(self, bundle: Path, length: int) -> None:
        manifest = read_manifest(bundle)
        graph = next(graph for graph in manifest.graphs if graph.takes(length))
        self._session = open_session(bundle / graph.file, manifest, device="cpu", threads=available_cores())

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


def random_batch(numbers: Iterable[int], length: int) -> Batch:
    """Return the documents of these numbers; each fills the length."""
    ids = np.stack([np.random.default_rng([number, length]).integers(*_TOKEN_IDS, length) for number in numbers])
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
