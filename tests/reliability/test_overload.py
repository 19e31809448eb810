from pathlib import Path

import pytest

from tests.reliability import overload


@pytest.mark.slow
def test_a_flood_is_refused_what_is_accepted_is_in_time_and_then_all_is_as_before(demo_bundles: Path) -> None:
    report = overload.run(0.05)
    assert report.failures == ()
    assert report.lost == 0
    assert "429: " in report.facts["answers"]
