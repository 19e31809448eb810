from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.asking import Answer, Outcome, Refusal
from evaluation.data.errors import DataError
from evaluation.datasets.entity_recognition import EntityRecognition
from tests.evaluation.asked import answer, model
from tests.evaluation.datasets.values import values

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# "Ann Lee met Bo" and "Oslo": characters 0-7, 12-14 and 0-4.
TWO_TEXTS = "Ann B-PER\nLee I-PER\nmet O\nBo B-PER\n\nOslo B-LOC\n"


def open_file(folder: Path, content: str = TWO_TEXTS, **fields: Any) -> EntityRecognition:
    path = folder / "dev.conll"
    path.write_text(content)
    return EntityRecognition(path, model("ner", LABELS), fields)


def found(*entities: tuple[str, int, int]) -> Answer:
    return answer(entities=[{"entity": label, "start": start, "end": end} for label, start, end in entities])


def test_the_words_of_a_text_are_sent_with_spaces_between_them(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, aggregation="first")
    assert [item.body for item in dataset.items] == [
        {"text": "Ann Lee met Bo", "aggregation": "first"},
        {"text": "Oslo", "aggregation": "first"},
    ]
    assert dataset.description == "CoNLL columns tagged BIO, 2 texts with 3 entities"


def test_an_entity_is_right_with_its_type_and_both_ends(tmp_path: Path) -> None:
    dataset = open_file(tmp_path)
    scores = dataset.score([found(("PER", 0, 7), ("LOC", 12, 14)), found(("LOC", 0, 4))])
    assert values(dataset, scores) == {
        "entity F1": (pytest.approx(2 / 3), 3),
        "precision": (pytest.approx(2 / 3), 3),
        "recall": (pytest.approx(2 / 3), 3),
        "macro F1": (pytest.approx(2 / 3), 3),  # PER: 1 of 1 found and 2 expected; LOC: 1 of 2 found and 1 expected
        "F1 of PER": (pytest.approx(2 / 3), 2),
        "F1 of LOC": (pytest.approx(2 / 3), 1),
    }
    assert scores.notes == []


def test_an_entity_that_cuts_through_a_word_is_wrong_and_counted(tmp_path: Path) -> None:
    dataset = open_file(tmp_path)
    scores = dataset.score([found(("PER", 0, 6), ("PER", 12, 14)), found(("LOC", 1, 4))])
    assert values(dataset, scores)["precision"] == (pytest.approx(1 / 3), 3)
    assert scores.notes == ["2 of 3 found entities begin or end inside a word of the file."]


def test_decisions_are_all_entities_that_are_expected_or_found(tmp_path: Path) -> None:
    dataset = open_file(tmp_path)
    decisions = dataset.score([found(("PER", 0, 7)), found(("PER", 0, 4))]).decisions
    assert decisions is not None
    judged = {entity: decisions.right(entity) for entity in decisions.expected | decisions.found}
    assert judged == {
        (0, ("PER", (0, 7))): True,
        (0, ("PER", (12, 14))): False,  # missed
        (1, ("LOC", (0, 4))): False,  # missed
        (1, ("PER", (0, 4))): False,  # invented
    }


def test_a_refused_text_has_no_entities(tmp_path: Path) -> None:
    dataset = open_file(tmp_path)
    outcomes: list[Outcome] = [found(("PER", 0, 7), ("PER", 12, 14)), Refusal("422")]
    assert values(dataset, dataset.score(outcomes))["recall"] == (pytest.approx(2 / 3), 3)


def test_figures_of_texts_without_entities_are_undefined(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "a O\n")
    f1 = dataset.score([found()]).figures[0]
    assert np.isnan(f1.statistic(np.array([0])))
    assert dataset.score([found(("PER", 0, 1))]).figures[0].statistic(np.array([0])) == 0.0


def test_a_type_that_the_model_does_not_have_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dev\.conll:2: unknown label 'ORG'; the model's labels are: PER, LOC$"):
        open_file(tmp_path, "a O\nb B-ORG\n")
