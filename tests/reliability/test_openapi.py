"""The description is true: a short run of schemathesis, with all its checks."""

from schemathesis.checks import CHECKS

from tests.reliability.openapi import run


def test_every_answer_conforms_to_the_description_and_every_operation_accepts_what_it_describes() -> None:
    report = run(0.02)
    assert report.failures == ()
    assert report.inputs > 1000
    assert set(CHECKS.get_all_names()) <= set(report.facts["checks"].split(", "))
