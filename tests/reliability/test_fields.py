"""A short run of the fuzzer of fields."""

from tests.reliability.field_values import FIELDS
from tests.reliability.fields import numbered_input, run


def test_no_value_of_a_field_gets_a_wrong_answer_or_keeps_others_from_theirs() -> None:
    report = run(0.05)
    assert report.failures == ()
    assert report.inputs > 1300
    assert int(report.facts["checked positions"]) > 1000


def test_an_input_depends_on_its_number_alone_and_all_fields_take_turns() -> None:
    assert numbered_input(17).body == numbered_input(17).body
    assert {numbered_input(number).path for number in range(len(FIELDS))} == {
        path.partition(" ")[0] for path, _ in FIELDS
    }
