"""Whether graphs with symbolic lengths can be recorded as CUDA graphs at all, and where that saves time.

Arithmetic on shapes runs on the host. If a graph has an operator there whose result is copied to the GPU, onnxruntime
refuses to record any of its shapes, and the service goes on without.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

from benchmarks.gpu.batches import filled_batch
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sessions import open_buckets, record
from benchmarks.limited_worker import LimitedWorker
from bigbird_inference.runtime.session import Shape

Recorded = Mapping[int, Sequence[int]]
"""For each padded length, the numbers of documents that were recorded."""

_TRIED = (1, 2, 4)


def measure_recordings(plan: Plan, bundle: Path) -> Recorded:
    """Record small batches of every bucket, of those that run; larger ones gain less."""
    with LimitedWorker("recordings", plan.answer_seconds, _Recorder, bundle, plan.device) as worker:
        worker.wait_until_made()
        recorded: Recorded = worker.call("recorded", plan.buckets)
        return recorded


class _Recorder:
    """The sessions of a bundle, in their process."""

    def __init__(self, bundle: Path, device: str) -> None:
        self._sessions = open_buckets(bundle, device)

    def recorded(self, lengths: Sequence[int]) -> Recorded:
        found: dict[int, list[int]] = {}
        for length in lengths:
            session = self._sessions[length]
            for documents in _TRIED:
                session.run(filled_batch(documents, length))
            kept = record(session, [Shape(documents, length) for documents in _TRIED])
            found[length] = [shape.rows for shape in kept if shape.length == length]
        return found
