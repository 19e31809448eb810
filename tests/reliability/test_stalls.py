"""The short form of the search for texts that hold the interpreter, and that it can fail."""

import pytest

from tests.reliability import stalls


@pytest.mark.slow
def test_no_text_makes_another_thread_wait() -> None:
    report = stalls.run(0.001)
    assert report.failures == ()
    assert report.inputs >= 1000


def test_work_that_holds_the_interpreter_is_noticed() -> None:
    assert stalls.shortest_wait(lambda: sum(range(100_000_000))) > stalls.LONGEST_WAIT
