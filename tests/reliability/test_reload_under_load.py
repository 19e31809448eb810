import pytest

from tests.reliability import reload_under_load

pytestmark = pytest.mark.integration  # takes long


@pytest.mark.usefixtures("demo_bundles")
def test_models_are_exchanged_under_load_without_a_lost_or_a_mixed_answer() -> None:
    report = reload_under_load.run(0.01)
    assert report.failures == ()
    assert (report.lost, report.wrong) == (0, 0)
    assert report.inputs >= 50
    assert report.injected >= 1
