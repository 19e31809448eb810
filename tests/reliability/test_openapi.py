"""The description is true: short runs of schemathesis, with all its checks."""

import pytest
from schemathesis.checks import CHECKS

from tests.reliability.openapi import run

pytestmark = pytest.mark.integration  # takes long


@pytest.mark.parametrize(
    ("only_with_keys", "least_inputs"),
    [
        pytest.param(True, 500, id="a server with keys"),
        pytest.param(False, 1000, id="an open one as well", marks=pytest.mark.slow),
    ],
)
def test_every_answer_conforms_to_the_description_and_every_operation_accepts_what_it_describes(
    only_with_keys: bool, least_inputs: int
) -> None:
    report = run(0.02, only_with_keys=only_with_keys)
    assert report.failures == ()
    assert report.inputs > least_inputs
    assert set(CHECKS.get_all_names()) <= set(report.facts["checks"].split(", "))
