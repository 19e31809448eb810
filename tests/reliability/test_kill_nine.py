"""The short form of the kills."""

import pytest

from tests.reliability.kill_nine import run


@pytest.mark.slow
def test_a_kill_leaves_nothing_half_written_that_is_loaded_and_the_next_start_works() -> None:
    report = run(0.06)
    assert report.failures == ()
    assert report.inputs >= 6 and report.wrong == 0
