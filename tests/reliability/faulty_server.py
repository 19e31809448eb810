"""A server around a model whose runs fail as its documents ask; `faults.py` runs it as a process.

Documents are words that are token ids, and the right answer for one is the sum of its ids; so a right answer among
faults is easy to tell. Nothing of this is in the product: the session is a stand-in, everything around it is real.

    python -m tests.reliability.faulty_server DEVICES

A hanging run goes on until SIGUSR1, or for good.
"""

import signal
import sys
import threading
import time
from dataclasses import replace

import numpy as np

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.runtime.devices import Devices
from bigbird_inference.runtime.session import Batch, DeviceLost, OutOfMemory, Outputs, RunControl, RunTerminated
from service.process.server import serve
from service.settings import Settings
from tests.fake_model import FakeSession, fake_loaded_model

FAILS = 701
NO_ROOM_FOR_TWO = 702
NO_ROOM = 703
SLOW = 704
HANGS = 705
THREAD_DIES = 706
NOT_A_NUMBER = 707
INFINITE = 708
DEVICE_LOST = 709
EXHAUSTED = 710

STUCK_SECONDS = 1.5
SLOW_SECONDS = 30.0
# What every run takes, so that documents wait for each other and run together.
RUN_SECONDS = 0.004
_LOOK_SECONDS = 0.005

released = threading.Event()


class FaultySession(FakeSession):
    """Sums of token ids, and the faults above."""

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.batches.clear()  # they are kept for tests of the scheduler, and this server lives long
        time.sleep(RUN_SECONDS)
        asked = set(np.unique(batch.input_ids).tolist())
        if FAILS in asked:
            raise RuntimeError("a failure inside the model")
        if NO_ROOM in asked or (NO_ROOM_FOR_TWO in asked and len(batch.input_ids) > 1):
            raise OutOfMemory
        if EXHAUSTED in asked:
            raise MemoryError
        if DEVICE_LOST in asked:
            raise DeviceLost("an illegal memory access was encountered")
        if THREAD_DIES in asked:
            raise SystemExit
        if SLOW in asked:
            _wait_as_a_model_does(control)
        if HANGS in asked:
            released.wait()
        outputs = {name: array.copy() for name, array in super().run(batch, control).items()}
        for row in range(len(batch.input_ids)):
            if NOT_A_NUMBER in batch.input_ids[row]:
                outputs["logits"][row, 1] = np.nan
            if INFINITE in batch.input_ids[row]:
                outputs["logits"][row, 0] = np.inf
        return outputs


def _wait_as_a_model_does(control: RunControl | None) -> None:
    """Take long, but end soon when asked to, as onnxruntime does between two operators."""
    ends_at = time.monotonic() + SLOW_SECONDS
    while time.monotonic() < ends_at:
        if control is not None and control.terminated:
            raise RunTerminated
        time.sleep(_LOOK_SECONDS)


def load(devices: int) -> dict[str, LoadedModel]:
    model = fake_loaded_model("classify", "faulty", FaultySession())
    names = tuple(f"cpu:{number}" for number in range(devices))
    return {
        model.name: replace(
            model,
            sessions={attention: [FaultySession() for _ in names] for attention in model.sessions},
            devices=Devices(names, descriptions=("",) * devices),
        )
    }


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, lambda number, frame: released.set())
    settings = Settings(
        port=0,
        warm_up_seconds=1,
        timeout_ms=20_000,
        log_format="json",
        stuck_run_seconds=STUCK_SECONDS,
        # A run of a stand-in takes no time: only the seconds count.
        stuck_run_factor=1e-6,
    )
    sys.exit(serve(settings, lambda settings: load(int(sys.argv[1]))))
