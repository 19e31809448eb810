"""An executor that runs its work when the test says so, on the test's own thread: no waiting, no races."""

import asyncio
from collections import deque
from collections.abc import Callable


class ManualExecutor:
    def __init__(self) -> None:
        self.work: deque[Callable[[], None]] = deque()
        self.alive = False
        self.stopped = False
        self._on_death: Callable[[], None] = lambda: None

    def start(self, on_death: Callable[[], None]) -> None:
        self.alive = True
        self._on_death = on_death

    def submit(self, work: Callable[[], None]) -> None:
        self.work.append(work)

    def stop(self) -> None:
        self.stopped = True
        self.alive = False

    def die(self) -> None:
        self.alive = False
        self._on_death()

    async def run_next(self) -> None:
        """Run the oldest piece of work and let the event loop take note of it."""
        self.work.popleft()()
        await settle()

    async def run_all(self) -> None:
        """Run everything, and what follows from it."""
        await settle()
        while self.work:
            await self.run_next()


class FakeClock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += seconds


async def settle() -> None:
    """Let every callback that is due run; none of them waits for time."""
    for _ in range(10):
        await asyncio.sleep(0)
