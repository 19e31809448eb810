from pathlib import Path

import pytest

from tests.reliability import shares


@pytest.mark.slow
def test_short_requests_are_answered_soon_whatever_others_ask(demo_bundles: Path) -> None:
    report = shares.run(0.05)
    assert report.failures == ()
    assert len(report.facts) == 7
