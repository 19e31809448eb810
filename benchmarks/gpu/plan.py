"""What the GPU benchmark measures, and how much of it: for real on a GPU, and as a rehearsal of the same code on a CPU.

The rehearsal runs two small layers for the tests' sake; its times mean nothing and nothing is judged by them.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.base_checkpoint import NINE_BUCKETS, base_checkpoint
from benchmarks.gpu.rehearsal import rehearsal_checkpoint
from bigbird_inference.manifest import Precision

GPU = "cuda:0"


@dataclass(frozen=True, slots=True)
class Plan:
    """What is measured.

    Attributes:
        name: Of what is kept of it in the cache.
        model: What it is, for people.
        device: Where, as torch and the service call it.
        checkpoint: Makes the checkpoint, or finds it made; the task is `classify`.
        precision: Of our bundle; that of the peers is the same.
        buckets: Of our bundle, padded lengths in tokens.
        fp32_buckets: Of the bundle in fp32, whose numbers are compared only.
        lengths: At which times are measured, the most important first.
        batches: Documents at a time.
        saturating_tokens: Of a batch that keeps the whole GPU busy; so many documents are run at a time as well.
        repeats: Most timed repeats of a run.
        repeat_seconds: What a repeat takes at least; shorter runs are run several times in it.
        served_tokens: Most tokens of a batch in the service, and in the measurement of memory.
        requests: Sent to the server in a round.
        connections: Requests to the server under way at any time.
        rounds: Of server and bare executor by turns.
        warm_up_seconds: The server's time to measure its buckets.
        answer_seconds: How long a process is waited for before it counts as stuck.
        is_judged: Whether the figures are held against the targets.
    """

    name: str
    model: str
    device: str
    checkpoint: Callable[[], Path]
    precision: Precision
    buckets: tuple[int, ...]
    fp32_buckets: tuple[int, ...]
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    saturating_tokens: int
    repeats: int
    repeat_seconds: float
    served_tokens: int
    requests: int
    connections: int
    rounds: int
    warm_up_seconds: float
    answer_seconds: float
    is_judged: bool

    @property
    def is_on_gpu(self) -> bool:
        return self.device != "cpu"

    def documents_at(self, length: int) -> list[int]:
        """Return how many documents are run at a time at this length, ascending."""
        return sorted({*self.batches, max(1, self.saturating_tokens // length)})


MEASUREMENT = Plan(
    name="base",
    model="The base configuration with random weights",
    device=GPU,
    checkpoint=base_checkpoint,
    precision="fp16",
    buckets=NINE_BUCKETS,
    fp32_buckets=(704, 1024),
    lengths=(4096, 1024, 512),
    batches=(1, 8, 32),
    saturating_tokens=262_144,
    repeats=9,
    repeat_seconds=0.05,
    served_tokens=65_536,
    requests=2000,
    connections=256,
    rounds=3,
    warm_up_seconds=15.0,
    answer_seconds=240.0,
    is_judged=True,
)

REHEARSAL = Plan(
    name="rehearsal",
    model="Two layers of a demo checkpoint",
    device="cpu",
    checkpoint=rehearsal_checkpoint,
    precision="fp32",
    buckets=(704, 1024),
    fp32_buckets=(704, 1024),
    lengths=(1024, 704),
    batches=(1,),
    saturating_tokens=1408,
    repeats=2,
    repeat_seconds=0.0,
    served_tokens=2048,
    requests=8,
    connections=2,
    rounds=1,
    warm_up_seconds=0.0,
    answer_seconds=120.0,
    is_judged=False,
)
