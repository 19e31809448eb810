"""The ways to run the model that are compared on the GPU: ours, and the peers with the same weights.

Each takes a batch in ordinary memory and returns logits there, so a run holds everything from ids to logits, and the
device has finished when it returns. Some can run in variants: plainly, or as a CUDA graph that is launched at once.
"""

import contextlib
import importlib.util
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from benchmarks.contenders import FloatArray
from benchmarks.gpu.batches import filled_batch
from benchmarks.gpu.peers import GRAPH, PLAIN, Peer
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sessions import open_buckets, record
from bigbird_inference.runtime.session import Batch, OutOfMemory, Shape

OURS = "ours"
TRANSFORMERS = "transformers eager block_sparse"
DENSE_EAGER = "dense, torch SDPA"
DENSE_COMPILED = "dense, torch SDPA, torch.compile"
FLEX = "FlexAttention with BigBird's mask, torch.compile"


class Contestant(Protocol):
    """A loaded model.

    Attributes:
        variants: The ways in which it can run.
        remark: What was chosen when it was loaded, or nothing.
    """

    variants: tuple[str, ...]
    remark: str

    def prepare(self, length: int, documents: Sequence[int]) -> None:
        """Get ready for so many documents of this length at a time."""
        ...

    def run(self, variant: str, batch: Batch) -> FloatArray:
        """Return the logits of documents that fill the length."""
        ...


@dataclass(frozen=True, slots=True)
class GpuContender:
    """One of those that are compared.

    Attributes:
        load: Loads it; called in a process of its own.
        attends_fully: Whether it attends to everything at every length: another function beyond the edge.
        is_sparse_only: Whether there is nothing to compare up to the edge, where attention is full.
    """

    load: Callable[[], Contestant]
    attends_fully: bool = False
    is_sparse_only: bool = False


def gpu_contenders(plan: Plan, bundle: Path, checkpoint: Path) -> dict[str, GpuContender]:
    """Return the contenders by name, ours first."""
    peer = partial(Peer, checkpoint, plan.device, plan.precision)
    return {
        OURS: GpuContender(partial(Ours, bundle, plan.device)),
        TRANSFORMERS: GpuContender(partial(_transformers, checkpoint, plan.device, plan.precision)),
        DENSE_EAGER: GpuContender(partial(peer, "dense", compiled=False), attends_fully=True),
        DENSE_COMPILED: GpuContender(partial(peer, "dense", compiled=True), attends_fully=True),
        FLEX: GpuContender(partial(peer, "bigbird", compiled=True), is_sparse_only=True),
    }


class Ours:
    """Our bundle in the sessions that serve, without and with CUDA graphs.

    Args:
        bundle: Its folder.
        device: Where it runs.
    """

    remark = ""

    def __init__(self, bundle: Path, device: str) -> None:
        self.variants: tuple[str, ...] = (PLAIN,) if device == "cpu" else (PLAIN, GRAPH)
        # The same graphs twice: a session that has recorded a batch replays it ever after.
        self._sessions = {variant: open_buckets(bundle, device) for variant in self.variants}
        self._length = 0
        self._recorded: list[Shape] = []

    def prepare(self, length: int, documents: Sequence[int]) -> None:
        self._length = length
        if GRAPH not in self._sessions:
            return
        # As at the service's start: first everything runs, then it is recorded.
        session, fitting = self._sessions[GRAPH][length], []
        with contextlib.suppress(OutOfMemory):
            for count in documents:
                session.run(filled_batch(count, length))
                fitting.append(Shape(count, length))
        self._recorded = record(session, fitting)

    def run(self, variant: str, batch: Batch) -> FloatArray:
        if variant == GRAPH and batch.input_ids.shape not in self._recorded:
            raise ValueError("not recorded: a CUDA graph would save too little here, or cannot be made (see the log)")
        return self._sessions[variant][self._length].run(batch)["logits"]


def _transformers(checkpoint: Path, device: str, precision: str) -> Contestant:
    """Load transformers' model.

    Raises:
        ImportError: transformers is not installed.
    """
    if importlib.util.find_spec("transformers") is None:
        raise ImportError("transformers is not installed here")
    # Only this process needs it.
    from benchmarks.gpu.transformers import Transformers

    return Transformers(checkpoint, device, precision)
