"""A session whose runs wait until the test lets them go."""

import threading

from bigbird_inference.runtime.session import Batch
from tests.fake_model import FakeSession


class Gate:
    """Holds every run until it is opened; runs of padding alone, which are the warm-up, only if told so.

    Attributes:
        session: The session to put into a model.
        reached: Set once a run waits at the gate.
        opened: To be set by the test.
    """

    def __init__(self, *, hold_warm_up: bool = False) -> None:
        self.session = FakeSession(self._wait)
        self.reached = threading.Event()
        self.opened = threading.Event()
        self._hold_warm_up = hold_warm_up

    def _wait(self, batch: Batch) -> None:
        if batch.input_ids.any() or self._hold_warm_up:
            self.reached.set()
            assert self.opened.wait(timeout=60)
