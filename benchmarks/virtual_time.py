"""An hour of traffic in seconds: an event loop whose time jumps to the next event, and a device that only counts.

The scheduler, its policy and its admission run as they are; what is simulated is the clock, the executor's thread and
the seconds that a batch takes.
"""

import asyncio
import selectors
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from service.batching.cost_model import MeasuredCurve

# Runs of the same batch differ by about so much, as a share of their time.
_NOISE = 0.05

Costs = Mapping[int, Mapping[int, float]]
"""Measured seconds by bucket and batch size."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """Time passes only when nothing is left to do, and then at once."""

    def __init__(self) -> None:
        self._now = 0.0
        self.device_seconds = 0.0
        super().__init__(_SkippingSelector(self))

    def time(self) -> float:
        return self._now

    def skip(self, seconds: float) -> None:
        """Let time pass."""
        self._now += seconds

    def clock(self) -> float:
        """Return the time as whoever runs now sees it: during a run, the device's."""
        return self._now + self.device_seconds

    def call_soon_threadsafe(  # type: ignore[override]
        self, callback: Callable[..., Any], *args: Any, context: Any = None
    ) -> Any:
        """Call back when the device, which is another thread in reality, is done."""
        return self.call_later(self.device_seconds, callback, *args, context=context)


class _SkippingSelector(selectors.DefaultSelector):
    def __init__(self, loop: VirtualLoop) -> None:
        super().__init__()
        self._loop = loop

    def select(self, timeout: float | None = None) -> list[Any]:
        events = super().select(0)
        if not events:
            if timeout is None:
                raise RuntimeError("everybody waits for somebody else")
            self._loop.skip(timeout)
        return events


class VirtualExecutor:
    """Does work at once and lets its result arrive when the device would have it.

    Args:
        loop: Where results arrive.
    """

    def __init__(self, loop: VirtualLoop) -> None:
        self._loop = loop
        self.alive = False

    def start(self, on_death: Callable[[], None]) -> None:
        self.alive = True

    def submit(self, work: Callable[[], None]) -> None:
        work()
        self._loop.device_seconds = 0.0

    def stop(self) -> None:
        self.alive = False


class CostedSession:
    """A bucket that takes as long as was measured, give or take 5%.

    Args:
        loop: Whose device it occupies.
        sizes: Measured seconds by batch size.
        seed: Of the noise.
    """

    def __init__(self, loop: VirtualLoop, sizes: Mapping[int, float], seed: int) -> None:
        self._loop = loop
        self._curve = MeasuredCurve()
        for items, seconds in sizes.items():
            self._curve.add(items, seconds)
        self._random = np.random.default_rng(seed)

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        items = len(batch.input_ids)
        seconds = self._curve.at(items) or 0.0
        self._loop.device_seconds += seconds * float(np.exp(_NOISE * self._random.standard_normal()))
        return {"logits": np.zeros((items, 2), dtype=np.float32)}
