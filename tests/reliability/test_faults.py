import pytest

from tests.reliability import faults


@pytest.mark.slow
def test_whatever_fails_every_request_ends_as_documented_and_the_server_recovers_or_says_that_it_cannot() -> None:
    report = faults.run(0.05)
    assert report.failures == ()
    assert (report.lost, report.wrong) == (0, 0)
    assert report.injected >= 20
