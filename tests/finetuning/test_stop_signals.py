import os
import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from finetuning.stop_signals import StopSignals

BOTH = [signal.SIGTERM, signal.SIGINT]


class Ended(Exception):
    """What the handlers before us do."""


@pytest.fixture(autouse=True)
def handlers_before() -> Iterator[None]:
    def end(number: int, frame: FrameType | None) -> None:
        raise Ended

    before = {number: signal.signal(number, end) for number in BOTH}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", BOTH)
def test_the_first_signal_is_a_request_and_the_second_ends(number: signal.Signals) -> None:
    with StopSignals() as signals:
        assert not signals.is_received()
        os.kill(os.getpid(), number)
        assert signals.is_received()
        assert signals.received == number
        with pytest.raises(Ended):
            os.kill(os.getpid(), number)


def test_afterwards_signals_do_what_they_did_before() -> None:
    with StopSignals():
        pass
    with pytest.raises(Ended):
        os.kill(os.getpid(), signal.SIGTERM)
