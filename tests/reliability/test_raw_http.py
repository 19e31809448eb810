"""A short run of the fuzzer of raw HTTP."""

from tests.reliability.raw_http import attempt, run
from tests.reliability.raw_http_forms import FORMS


def test_no_bytes_end_the_server_or_keep_a_connection_or_get_an_answer_that_is_not_documented() -> None:
    report = run(0.05)
    assert report.failures == ()
    assert report.inputs == 1300
    assert "200: " in report.facts["answers"]
    assert "400: " in report.facts["answers"]


def test_an_input_depends_on_its_number_alone_and_all_forms_take_turns() -> None:
    assert attempt(17) == attempt(17)
    assert {attempt(number)[0] for number in range(len(FORMS))} == {form.__name__ for form in FORMS}
