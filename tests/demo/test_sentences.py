import pytest

from demo.cast import Subject
from demo.kinds.organisation import ORGANISATION
from demo.kinds.project import PROJECT
from demo.sentences import Sentence, join, named, render


def test_a_sentence_knows_where_its_names_and_values_stand() -> None:
    subject = Subject(PROJECT, "Project Älv", {"leader": "Ana Silva"})
    sentence = render("{leader} leads {subject}.", subject)
    assert sentence.text == "Ana Silva leads Project Älv."
    assert [(mention.attribute, mention.start, mention.end) for mention in sentence.mentions] == [
        ("leader", 0, 9),
        (None, 16, 27),
    ]


@pytest.mark.parametrize(
    ("phrase", "date", "text"),
    [
        pytest.param("{subject} began {on start}.", "May 2019", "Project Kite began in May 2019.", id="a month"),
        pytest.param("{subject} began {on start}.", "2019-05-12", "Project Kite began on 2019-05-12.", id="a day"),
        pytest.param("{On start} {subject} began.", "1998", "In 1998 Project Kite began.", id="head of a sentence"),
    ],
)
def test_the_preposition_before_a_date_is_no_part_of_it(phrase: str, date: str, text: str) -> None:
    sentence = render(phrase, Subject(PROJECT, "Project Kite", {"start": date}))
    assert sentence.text == text
    start = next(mention for mention in sentence.mentions if mention.attribute == "start")
    assert sentence.text[start.start : start.end] == date


def test_a_name_that_ends_with_a_full_stop_needs_no_second_one() -> None:
    sentence = render("{owner} owns {subject}.", Subject(ORGANISATION, "Kestrel Inc.", {"owner": "Alder Group"}))
    assert sentence.text == "Alder Group owns Kestrel Inc."
    assert [sentence.text[mention.start : mention.end] for mention in sentence.mentions] == [
        "Alder Group",
        "Kestrel Inc.",
    ]


def test_a_project_is_no_entity_and_its_leader_is_a_person() -> None:
    sentence = render("{leader} leads {subject}.", Subject(PROJECT, "Project Kite", {"leader": "Ana Silva"}))
    assert [mention.label for mention in sentence.mentions] == ["PER", None]


def test_joined_texts_keep_their_mentions() -> None:
    subject = Subject(PROJECT, "Project Kite", {"leader": "Ana Silva"})
    whole = join([Sentence("- "), join([named(subject), named(subject, "leader")], ": ")], "")
    assert whole.text == "- Project Kite: Ana Silva"
    assert [whole.text[mention.start : mention.end] for mention in whole.mentions] == ["Project Kite", "Ana Silva"]
