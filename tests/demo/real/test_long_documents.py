"""Short documents of one subject, joined."""

import random

from demo.real.labelled_documents import LabelledDocument
from demo.real.long_documents import join_by_topic


def summary(number: int, topic: str) -> LabelledDocument:
    text = "filler " * 99 + f"Name{number}"
    return LabelledDocument("encyclopedia", f"Title {number}", text, topic, [(len(text) - 5, len(text), "PER")])


def test_entities_stand_where_they_stood() -> None:
    short = [summary(number, "Arts" if number < 9 else "History") for number in range(10)]
    long = LabelledDocument("mails", "a mail", "Hello.", "", [])
    with_titles = set()
    for seed in range(4):
        joined = join_by_topic([*short, long], random.Random(seed))
        assert joined[0] == long
        found = [document.text[start:end] for document in joined for start, end, _ in document.entities]
        assert sorted(found) == [f"Name{number}" for number in range(10)]
        assert {document.topic for document in joined} == {"", "Arts", "History"}
        with_titles |= {document.text.startswith("Title ") for document in joined[1:]}
    assert with_titles == {True, False}
