"""What the parts of the GPU benchmark have found so far; a part that failed or has not run has found nothing."""

from dataclasses import dataclass, field

from benchmarks.gpu.ceilings import Ceilings
from benchmarks.gpu.cells import Cell
from benchmarks.gpu.kernels import Kernels
from benchmarks.gpu.memory import MemoryUse
from benchmarks.gpu.numerics import Checked
from benchmarks.gpu.recordings import Recorded


@dataclass(frozen=True, slots=True)
class Served:
    """What the server delivered; medians over the rounds.

    Attributes:
        documents: Answered per second.
        tokens: Real tokens per second.
        bare_tokens: Of the bare executor.
        share: The server's by the bare executor's.
        batch: Documents in a batch, on average.
        generator_cores: Processor time that the load generator took of the same machine, in cores.
    """

    documents: float
    tokens: float
    bare_tokens: float
    share: float
    batch: float
    generator_cores: float


@dataclass(slots=True)
class Findings:
    """What is known.

    Attributes:
        checked: Buckets whose numbers are right.
        kernels: Attention kernels of each bucket.
        recorded: What of each bucket was recorded as CUDA graphs.
        ceilings: What the device can do at most.
        memory: What the buckets take.
        served: What the server delivers.
        cells: Times of the contenders.
        remarks: What a contender chose when it was loaded.
        failures: By part, why it found nothing, or not everything.
        seconds: By part, how long it took.
    """

    checked: list[Checked] = field(default_factory=list)
    kernels: Kernels | None = None
    recorded: Recorded | None = None
    ceilings: Ceilings | None = None
    memory: MemoryUse | None = None
    served: Served | None = None
    cells: list[Cell] = field(default_factory=list)
    remarks: dict[str, str] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
