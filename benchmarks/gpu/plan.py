"""What the GPU benchmark measures, and how much of it: the base configuration on a GPU, a small one on a CPU.

The small one's times mean nothing and nothing is judged by them: it drives the same code where there is no GPU.
"""

from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path

from benchmarks.base_checkpoint import BASE_CONFIG, NINE_BUCKETS, base_bundle, base_checkpoint
from benchmarks.worker import Worker
from bigbird_inference.manifest import Precision

CPU = "cpu"
FIRST_RUNG = "none"
ANSWER_SECONDS = 240.0
"""How long a process is waited for before it counts as stuck."""

# With this many tokens in a batch, the activations of all contenders fit into the GPU at once.
_TOKENS_PER_GIB = 1024


@dataclass(frozen=True)
class Plan:
    """What is measured.

    Attributes:
        device: Where, as torch and the service call it.
        layers: Of the model, which has random weights.
        width: Of its hidden states.
        precision: Of our bundle; that of the peers is the same.
        buckets: Of our bundle, padded lengths in tokens.
        lengths: At which times are measured, the most important first.
        batches: Documents at a time.
        saturating_tokens: Of the largest batch, which keeps the whole GPU busy.
        requests: Sent to the server in a round.
        connections: Requests to the server under way at any time.
        features: What of the GPU our sessions use, as `BIGBIRD_GPU_FEATURES` has it; known once the ladder was tried.
    """

    device: str
    layers: int
    width: int
    precision: Precision
    buckets: tuple[int, ...]
    lengths: tuple[int, ...]
    batches: tuple[int, ...]
    saturating_tokens: int
    requests: int
    connections: int
    features: str = FIRST_RUNG

    @property
    def served_tokens(self) -> int:
        """Most tokens of a batch in the service, and in the measurement of memory."""
        return self.saturating_tokens // 2

    @cached_property
    def checkpoint(self) -> Path:
        """The folder of the checkpoint; the task is `classify`."""
        return base_checkpoint(self.layers, self.width)

    @cached_property
    def bundle(self) -> Path:
        """The folder of our bundle; exported once, in a process that takes the gigabytes of an export with it."""
        export = partial(base_bundle, self.precision, self.buckets, self.layers, "both", self.width)
        with Worker("export", export) as worker:
            worker.wait_until_made()
        return export()

    def documents_at(self, length: int) -> list[int]:
        """Return how many documents are run at a time at this length, ascending; the last are the saturating batch."""
        most = max(1, self.saturating_tokens // length)
        return [*(count for count in self.batches if count < most), most]


ON_A_GPU = Plan(
    device="cuda:0",
    layers=BASE_CONFIG.num_hidden_layers,
    width=BASE_CONFIG.hidden_size,
    precision="fp16",
    buckets=NINE_BUCKETS,
    lengths=(4096, 1024, 512),
    batches=(1, 8, 32),
    saturating_tokens=131_072,
    requests=2000,
    connections=256,
)
ON_A_CPU = Plan(
    device=CPU,
    # In a single one, the first token, which is classified, attends to everything in any case.
    layers=2,
    width=128,
    precision="fp32",
    buckets=(704, 1024),
    lengths=(1024, 704),
    batches=(1,),
    saturating_tokens=2048,
    requests=8,
    connections=2,
)


def plan_for(gpu_bytes: int) -> Plan:
    """Return what is measured on a GPU of that much memory; a small one gets smaller batches."""
    fitting = 1 << (gpu_bytes * _TOKENS_PER_GIB >> 30).bit_length() - 1
    return replace(ON_A_GPU, saturating_tokens=min(ON_A_GPU.saturating_tokens, fitting))
