from pathlib import Path

import pytest

from tests.reliability import slow_clients


@pytest.mark.slow
def test_slow_clients_are_cut_off_and_hold_up_nobody(demo_bundles: Path) -> None:
    report = slow_clients.run(0.05)
    assert report.failures == ()
    assert report.injected == 60
