from pathlib import Path

import pytest

from tests.reliability import load, load_client
from tests.reliability.traffic import LONGEST_TOKENS, SHARES, Traffic, document_tokens


@pytest.mark.slow
def test_every_request_of_a_mixed_load_is_accounted_for(demo_bundles: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(load_client, "SAMPLED", 10)
    report = load.run(0.004)
    assert report.failures == ()
    assert (report.lost, report.wrong) == (0, 0)
    assert report.inputs == 400
    for status in ("200", "422", "504"):
        assert f"{status}: " in report.facts["answers"]


def test_documents_are_log_normal_with_a_tail() -> None:
    lengths = document_tokens(4000)
    assert lengths[2000] == 150
    # The logarithm's standard deviation is 1: a sixth is longer than e times the median.
    assert lengths[round(4000 * 0.8413)] == pytest.approx(150 * 2.718, rel=0.01)
    assert lengths.count(LONGEST_TOKENS) == 2


def test_the_plan_is_the_same_in_every_process_and_has_every_kind_of_request() -> None:
    one, other = Traffic(2000), Traffic(2000)
    requests = [one.request(number) for number in range(2000)]
    assert requests[::100] == [other.request(number) for number in range(0, 2000, 100)]
    for kind, share in SHARES.items():
        assert sum(request.kind == kind for request in requests) == pytest.approx(2000 * share, rel=0.5)
