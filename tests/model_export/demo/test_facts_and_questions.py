import random

import pytest

from model_export.demo.facts import KINDS, LABELS, SubjectKind
from model_export.demo.questions import ask, phrases_for

ATTRIBUTES = [pytest.param(kind, name, id=f"{name} of a {kind.name}") for kind in KINDS for name in kind.attributes]


@pytest.mark.parametrize(("kind", "attribute"), ATTRIBUTES)
def test_an_attribute_is_stated_in_several_ways(kind: SubjectKind, attribute: str) -> None:
    alone = [phrase for phrase, stated in kind.stated.items() if stated == {attribute}]
    assert len(alone) >= 3
    assert all("{subject}" in phrase for phrase in alone)


@pytest.mark.parametrize(("kind", "attribute"), ATTRIBUTES)
def test_an_attribute_is_asked_for_in_several_ways(kind: SubjectKind, attribute: str) -> None:
    phrases = phrases_for(kind, attribute)
    assert len(phrases) >= 3
    assert all(phrase.endswith("?") and "{subject}" in phrase for phrase in phrases)


@pytest.mark.parametrize("kind", [pytest.param(kind, id=kind.name) for kind in KINDS])
def test_statements_name_only_attributes_of_their_kind(kind: SubjectKind) -> None:
    for phrase, stated in kind.stated.items():
        assert 1 <= len(stated) <= 2, phrase
        assert stated <= set(kind.attributes), phrase
    assert set(kind.attributes.values()) <= set(LABELS)


def test_a_question_names_its_subject() -> None:
    project = KINDS[0]
    question = ask(project, "leader", "Project Aurora", random.Random(1))
    assert "Project Aurora" in question
    assert not set("[]{}|") & set(question)
