import pytest

from tests.reliability import probes


@pytest.mark.slow
def test_probes_are_answered_whatever_connections_strangers_open() -> None:
    report = probes.run(0.1)
    assert report.failures == ()
    assert len(report.facts) == 2 * len(probes.ATTACKS)
