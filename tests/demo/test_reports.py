import re
from collections import Counter

import pytest

from demo.facts import LABELS
from demo.names import FIRST_NAMES, LAST_NAMES, ORGANISATION_STEMS, PLACES, PROJECT_WORDS
from demo.prose import HEADINGS, NEUTRAL_SENTENCES, REPORT_TYPES, TITLES, TYPED_SENTENCES
from demo.reports import Report, approximate_tokens, generate_report

LENGTHS = [50, 100, 200, 400, 1000, 4000, 12_000]


@pytest.fixture(scope="module", params=LENGTHS, ids=lambda tokens: f"{tokens} tokens")
def reports(request: pytest.FixtureRequest) -> list[Report]:
    return [generate_report(seed, request.param) for seed in range(40 if request.param <= 1000 else 3)]


def test_the_same_seed_gives_the_same_report() -> None:
    assert generate_report(11, 300) == generate_report(11, 300)


def test_another_seed_gives_another_report() -> None:
    assert generate_report(11, 300) != generate_report(12, 300)


def test_an_answer_is_the_text_between_its_positions(reports: list[Report]) -> None:
    for report in reports:
        assert report.questions
        for question in report.questions:
            assert report.text[question.start : question.end] == question.answer != ""


def test_an_answer_occurs_once_and_is_exactly_one_entity(reports: list[Report]) -> None:
    for report in reports:
        spans = {(entity.start, entity.end) for entity in report.entities}
        for question in report.questions:
            assert occurrences(report.text, question.answer) == 1
            assert (question.start, question.end) in spans


def test_questions_without_an_answer_have_none(reports: list[Report]) -> None:
    for report in reports:
        assert len(report.unanswered) >= 4
        stated = {(question.attribute, question.subject_mentions) for question in report.questions}
        for question in report.unanswered:
            assert (question.answer, question.start, question.end) == ("", 0, 0)
            assert (question.attribute, question.subject_mentions) not in stated


def test_some_of_them_are_about_subjects_of_the_report_and_some_about_strangers(reports: list[Report]) -> None:
    mentioned = [bool(question.subject_mentions) for report in reports for question in report.unanswered]
    assert 0.25 < sum(mentioned) / len(mentioned) < 0.75


def test_all_values_of_a_subject_are_known(reports: list[Report]) -> None:
    for report in reports:
        answers = {(question.start, question.end) for question in report.questions}
        for question in report.questions:
            assert (question.start, question.end) in question.subject_values
            assert set(question.subject_values) <= answers


def test_no_question_is_about_the_same_fact_as_another(reports: list[Report]) -> None:
    for report in reports:
        facts = [(question.attribute, question.subject_mentions) for question in report.questions]
        assert len(set(facts)) == len(facts)


def test_other_subjects_with_the_same_attribute_stand_beside_the_one_asked_about(reports: list[Report]) -> None:
    for report in reports:
        attributes = Counter(question.attribute for question in report.questions)
        assert max(attributes.values()) >= 2


@pytest.mark.parametrize("tokens", [4000, 10_000])
def test_twenty_facts_of_a_long_report_look_alike(tokens: int) -> None:
    most = [
        max(Counter(question.attribute for question in generate_report(seed, tokens).questions).values())
        for seed in range(5)
    ]
    assert sum(most) / len(most) >= 10 * tokens / 4000


@pytest.mark.parametrize("tokens", [1000, 4000])
def test_a_long_report_names_many_entities(tokens: int) -> None:
    for seed in range(10):
        report = generate_report(seed, tokens)
        assert len({report.text[entity.start : entity.end] for entity in report.entities}) >= 8 * tokens // 1000


def test_the_subject_in_the_question_is_the_one_at_its_mentions(reports: list[Report]) -> None:
    for report in reports:
        for question in report.questions:
            mentioned = {report.text[start:end] for start, end in question.subject_mentions}
            assert len(mentioned) == 1
            assert mentioned.pop() in question.text


def test_entities_stand_in_order_without_overlap(reports: list[Report]) -> None:
    for report in reports:
        assert all(entity.label in LABELS for entity in report.entities)
        assert all(entity.start < entity.end <= len(report.text) for entity in report.entities)
        ends = [entity.end for entity in report.entities[:-1]]
        starts = [entity.start for entity in report.entities[1:]]
        assert all(end <= start for end, start in zip(ends, starts, strict=True))


def test_every_mention_of_an_entity_is_marked(reports: list[Report]) -> None:
    for report in reports:
        marked = Counter(report.text[entity.start : entity.end] for entity in report.entities)
        for text, count in marked.items():
            assert occurrences(report.text, text) == count


def test_digits_stand_only_inside_dates_and_sums_and_before_items_and_headings(reports: list[Report]) -> None:
    for report in reports:
        amounts = [entity for entity in report.entities if entity.label in ("DATE", "MONEY")]
        inside = {position for entity in amounts for position in range(entity.start, entity.end)}
        numbers = re.finditer(r"^\d+\. ", report.text, flags=re.MULTILINE)
        inside |= {position for number in numbers for position in range(number.start(), number.end())}
        assert all(position in inside for position, character in enumerate(report.text) if character.isdigit())


@pytest.mark.parametrize("tokens", LENGTHS)
def test_a_report_has_about_the_length_it_is_asked_for(tokens: int) -> None:
    for seed in range(40 if tokens <= 1000 else 3):
        assert abs(approximate_tokens(generate_report(seed, tokens).text) - tokens) <= 15 + tokens // 25


def test_a_report_without_room_for_facts_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 50"):
        generate_report(0, 49)


def test_the_number_of_subjects_and_the_type_can_be_chosen() -> None:
    report = generate_report(3, 300, subjects=3, report_type="legal")
    assert report.report_type == "legal"
    assert len({question.subject_mentions for question in report.questions}) == 3


def test_the_forms_of_a_report_all_occur() -> None:
    texts = [generate_report(seed, 500).text for seed in range(60)]
    forms = {
        "table": r"^\| \w+ \| ",
        "bullets": r"^- ",
        "numbered list": r"^2\. .*: ",
        "fact sheet": r"^[A-Z][\w ]+: ",
        "cross-reference": r"named above",
        "numbered heading": r"^2\. [A-Z][\w ]+$",
    }
    for name, form in forms.items():
        assert any(re.search(form, text, re.MULTILINE) for text in texts), name


def test_all_types_occur() -> None:
    assert {generate_report(seed, 60).report_type for seed in range(100)} == set(REPORT_TYPES)


def occurrences(text: str, part: str) -> int:
    """Counts a name where it stands for itself: "Ana Silva" is not in "Ana Silvana"."""
    return len(re.findall(rf"(?<!\w){re.escape(part)}(?!\w)", text))


def test_prose_holds_no_name_and_no_digit() -> None:
    typed = [*TYPED_SENTENCES.values(), *TITLES.values()]
    sentences = [*NEUTRAL_SENTENCES, *HEADINGS, *(phrase for of_type in typed for phrase in of_type)]
    names = {*FIRST_NAMES, *LAST_NAMES, *PLACES, *ORGANISATION_STEMS, *PROJECT_WORDS}
    for sentence in sentences:
        assert not names & set(re.findall(r"\w+", sentence)), sentence
        assert not any(character.isdigit() for character in sentence), sentence
