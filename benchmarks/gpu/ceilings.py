"""What the GPU can do at most: matrix products of the model's shapes, and copies within its memory.

On random numbers: on zeros a GPU draws less power and runs faster than it ever does with a model.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from statistics import median

import torch

from benchmarks.gpu.attention import timed
from benchmarks.gpu.peers import DTYPES
from benchmarks.gpu.plan import Plan
from benchmarks.limited_worker import LimitedWorker
from model_export.config import BigBirdConfig

_REPEATS = 7
_REPEAT_SECONDS = 0.1
_COPIED_BYTES = 2 << 30
_COPIED_BYTES_ON_CPU = 1 << 20


@dataclass(frozen=True, slots=True)
class Ceilings:
    """Measured rates.

    Attributes:
        products: Operations per second of each product, by its shape.
        copy: Bytes per second of a copy within the device's memory, read and written bytes together.
        facts: What was measured on.
    """

    products: Mapping[str, float]
    copy: float
    facts: Mapping[str, str]

    @property
    def product(self) -> float:
        """The rate of the fastest product: the ceiling that everything is held against."""
        return max(self.products.values())


def measure_ceilings(plan: Plan, config: BigBirdConfig) -> Ceilings:
    """Measure in a process of its own."""
    arguments = (plan.device, plan.precision, config, plan.saturating_tokens)
    with LimitedWorker("ceilings", plan.answer_seconds, _Device, *arguments) as worker:
        worker.wait_until_made()
        return Ceilings(worker.call("products"), worker.call("copy"), worker.call("facts"))


class _Device:
    """The device, in its process."""

    def __init__(self, device: str, precision: str, config: BigBirdConfig, tokens: int) -> None:
        self._device = device
        self._dtype = DTYPES[precision]
        self._config = config
        self._tokens = tokens

    def products(self) -> dict[str, float]:
        """Measure the products of a layer with its weights."""
        hidden, wide = self._config.hidden_size, self._config.intermediate_size
        return {
            f"{self._tokens} x {inner} x {columns}": self._product(inner, columns)
            for inner, columns in ((hidden, hidden), (hidden, wide), (wide, hidden))
        }

    def _product(self, inner: int, columns: int) -> float:
        generator = torch.Generator(self._device).manual_seed(0)

        def random(rows: int, width: int) -> torch.Tensor:
            return torch.randn(rows, width, generator=generator, device=self._device, dtype=self._dtype)

        left, right = random(self._tokens, inner), random(inner, columns)
        product = torch.empty(self._tokens, columns, device=self._device, dtype=self._dtype)
        seconds = self._seconds(lambda: torch.mm(left, right, out=product))
        return 2 * self._tokens * inner * columns / seconds

    def copy(self) -> float:
        """Measure a copy that is far larger than the caches."""
        size = _COPIED_BYTES_ON_CPU if self._device == "cpu" else _COPIED_BYTES
        source = torch.randint(0, 255, (size,), dtype=torch.uint8, device=self._device)
        target = torch.empty_like(source)
        return 2 * size / self._seconds(lambda: target.copy_(source))

    def facts(self) -> dict[str, str]:
        """Return what a reader must know to compare figures."""
        if self._device == "cpu":
            return {"gpu": "none: a rehearsal on the CPU"}
        properties = torch.cuda.get_device_properties(self._device)
        cudnn = torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        return {
            "gpu": f"{properties.name}, {properties.multi_processor_count} multiprocessors, "
            f"{properties.total_memory / 2**30:.0f} GiB",
            "cuda": f"{torch.version.cuda}, cuDNN {cudnn} (torch's)",
        }

    def _seconds(self, run: Callable[[], object]) -> float:
        """Return the median seconds of a run, in repeats that are long enough for the clocks to settle."""
        run()
        once = timed(run, 3, self._device)
        runs = 1 if self._device == "cpu" else max(1, int(_REPEAT_SECONDS / once))
        return median(timed(run, runs, self._device) for _ in range(_REPEATS))
