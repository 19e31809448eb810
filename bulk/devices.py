"""A thread for each device, which runs one batch after the other; a batch that fails is taken apart.

One window that cannot be run must not cost the others their answers: the halves of a batch that failed run one after
the other, down to a single one.
"""

import queue
import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from types import TracebackType

from bigbird_inference.batch_run import run_batch
from bigbird_inference.buckets import ServedBucket
from bigbird_inference.runtime.session import DeviceLost, OutOfMemory, Outputs, RunControl, RunTerminated
from bigbird_inference.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class RunFailed:
    """What a window has in place of outputs."""

    reason: str


RunResult = Outputs | RunFailed


class DeviceThreads:
    """Runs batches on the devices of a model.

    Args:
        devices: How many there are.
    """

    def __init__(self, devices: int) -> None:
        self.count = devices
        self._free: queue.SimpleQueue[int] = queue.SimpleQueue()
        for number in range(devices):
            self._free.put(number)
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(devices, "device", initializer=self._take_device)
        self._most: dict[int, int] = {}
        self._controls: set[RunControl] = set()
        self._ending = False

    def __enter__(self) -> "DeviceThreads":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ending = True
        for control in list(self._controls):
            control.terminate()
        self._threads.shutdown(wait=True, cancel_futures=True)

    def submit(self, bucket: ServedBucket, sequences: Sequence[EncodedSequence]) -> "Future[list[RunResult]]":
        """Run sequences of one bucket on the next free device.

        The future has a result for each, in their order; it raises DeviceLost if a device has failed for good.
        """
        return self._threads.submit(self._run, bucket, sequences)

    def _take_device(self) -> None:
        self._own.device = self._free.get()

    def _run(self, bucket: ServedBucket, sequences: Sequence[EncodedSequence]) -> list[RunResult]:
        most = self._most.get(bucket.length, len(sequences))
        if len(sequences) > most:
            return self._halves(bucket, sequences)
        control = RunControl()
        self._controls.add(control)
        if self._ending:
            control.terminate()
        try:
            return list(run_batch(bucket.on(self._own.device), sequences, time.monotonic, control).outputs)
        except (DeviceLost, RunTerminated):
            raise
        except OutOfMemory:
            self._most[bucket.length] = max(1, len(sequences) // 2)
            reason = "the device had no room for it; run it on one with more memory"
        except Exception as error:  # the runtimes' own classes share no base
            reason = f"the model run failed: {' '.join(str(error).split()):.300}"
        finally:
            self._controls.discard(control)
        return [RunFailed(reason)] if len(sequences) == 1 else self._halves(bucket, sequences)

    def _halves(self, bucket: ServedBucket, sequences: Sequence[EncodedSequence]) -> list[RunResult]:
        half = (len(sequences) + 1) // 2
        return self._run(bucket, sequences[:half]) + self._run(bucket, sequences[half:])
