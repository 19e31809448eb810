"""How much of the device's memory the buckets take together, by what the largest of them takes alone.

Each in a process of its own: what the process has taken after its sessions were loaded, each bucket has run a batch of
as many tokens as the service runs at most and has recorded CUDA graphs, less what it had taken before. A bucket alone
has the session of its kind of attention only; together they have two, each with the weights and an arena.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch

from benchmarks.gpu.batches import filled_batch
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sessions import OurDevice, attention_kinds, record
from benchmarks.limited_worker import LimitedWorker
from benchmarks.peak_memory import resident_memory
from bigbird_inference.runtime.session import Shape

_WARM_RUNS = 2
_RECORDED = (1, 2, 4, 8, 16, 32, 64)


@dataclass(frozen=True, slots=True)
class MemoryUse:
    """Bytes taken, weights and arenas and what the libraries keep.

    Attributes:
        alone: By padded length, that bucket loaded alone.
        together: All buckets.
        buckets: How many these are.
    """

    alone: dict[int, int]
    together: int
    buckets: int

    @property
    def ratio(self) -> float:
        """All buckets by the one that takes most alone."""
        return self.together / max(self.alone.values())


def measure_memory(plan: Plan, bundle: Path) -> MemoryUse:
    """Measure the buckets of the measured lengths alone, and all buckets together."""
    alone = {length: _measured(plan, bundle, [length]) for length in plan.lengths}
    return MemoryUse(alone, _measured(plan, bundle, plan.buckets), len(plan.buckets))


def _measured(plan: Plan, bundle: Path, lengths: Sequence[int]) -> int:
    with LimitedWorker("memory", plan.answer_seconds, _Taken, plan.device) as worker:
        worker.wait_until_made()
        taken: int = worker.call("by", bundle, list(lengths), plan.served_tokens)
        return taken


class _Taken:
    """The memory that its process has taken since it was made."""

    def __init__(self, device: str) -> None:
        self._device = device
        if device != "cpu":
            # Makes the context, which is the process's and not the buckets'.
            torch.zeros(1, device=device)
        self._before = self._used()

    def by(self, bundle: Path, lengths: list[int], tokens: int) -> int:
        """Load what buckets need, run and record each, and return the bytes that were taken."""
        kinds = attention_kinds(bundle)
        needed = {kinds[length] for length in lengths}
        # All of a bundle's graphs are loaded together; those that are not needed are given back.
        sessions = {kind: session for kind, session in OurDevice(self._device).open(bundle).items() if kind in needed}
        most = {length: max(1, tokens // length) for length in lengths}
        for length in lengths:
            for _ in range(_WARM_RUNS):
                sessions[kinds[length]].run(filled_batch(most[length], length))
        for kind, session in sessions.items():
            own = [length for length in lengths if kinds[length] == kind]
            record(session, [Shape(size, length) for length in own for size in _RECORDED if size <= most[length]])
        return self._used() - self._before

    def _used(self) -> int:
        """Return what the whole device has in use; nothing else runs on it while this is measured."""
        if self._device == "cpu":
            return resident_memory()
        free, total = torch.cuda.mem_get_info(self._device)
        return total - free
