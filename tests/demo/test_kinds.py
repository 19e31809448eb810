import random

import pytest

from demo.facts import FIELD, LABELS, SubjectKind
from demo.kinds.project import PROJECT
from demo.kinds.remark import REMARK
from demo.kinds.stock import KINDS
from demo.questions import ask

ATTRIBUTES = [pytest.param(kind, name, id=f"{name} of a {kind.name}") for kind in KINDS for name in kind.attributes]


@pytest.mark.parametrize(("kind", "name"), ATTRIBUTES)
def test_an_attribute_is_stated_in_several_ways(kind: SubjectKind, name: str) -> None:
    attribute = kind.attributes[name]
    assert attribute.label in LABELS
    assert attribute.titles
    assert len(attribute.statements) >= 3
    for phrase in attribute.statements:
        assert kind.stated[phrase] == {name}
        assert "{subject}" in phrase
    assert len(attribute.continuations) >= 2
    for phrase in attribute.continuations:
        assert {field for _, field in FIELD.findall(phrase)} - {"It", "Its"} == {name}


@pytest.mark.parametrize(("kind", "name"), ATTRIBUTES)
def test_an_attribute_is_asked_for_in_several_ways(kind: SubjectKind, name: str) -> None:
    questions = kind.attributes[name].questions
    assert len(questions) >= 3
    assert all(phrase.endswith("?") and "{subject}" in phrase for phrase in questions)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in (*KINDS, REMARK)])
def test_pairs_state_two_attributes_of_their_kind(kind: SubjectKind) -> None:
    for phrase in kind.pairs:
        assert len(kind.stated[phrase]) == 2, phrase
        assert kind.stated[phrase] <= set(kind.attributes), phrase


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])
def test_mentions_state_nothing(kind: SubjectKind) -> None:
    for phrase in kind.mentions:
        assert [field for _, field in FIELD.findall(phrase)] == ["subject"], phrase


def test_a_question_names_its_subject() -> None:
    question = ask(PROJECT, "leader", "Project Aurora", random.Random(1))
    assert "Project Aurora" in question
    assert not set("[]{}|") & set(question)
