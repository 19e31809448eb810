from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.asking import Answer, Outcome, Refusal
from evaluation.data.conll import ConllUnit
from evaluation.data.source_text import DataError
from evaluation.datasets.base import Judgement
from evaluation.datasets.entity_recognition import EntityRecognition
from tests.evaluation.asked import answer, model
from tests.evaluation.datasets.values import values

LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]
# "Ann Lee met Bo" and "Oslo": characters 0-7, 12-14 and 0-4.
TWO_TEXTS = "Ann B-PER\nLee I-PER\nmet O\nBo B-PER\n\nOslo B-LOC\n"


def open_file(folder: Path, content: str = TWO_TEXTS, unit: ConllUnit = "document", **fields: Any) -> EntityRecognition:
    path = folder / "dev.conll"
    path.write_text(content)
    return EntityRecognition(path, model("ner", LABELS), fields, unit)


def found(*entities: tuple[str, int, int]) -> Answer:
    return answer(entities=[{"entity": label, "start": start, "end": end} for label, start, end in entities])


def test_the_words_of_a_text_are_sent_with_spaces_between_them(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, aggregation="first")
    assert [item.body for item in dataset.items] == [
        {"text": "Ann Lee met Bo", "aggregation": "first"},
        {"text": "Oslo", "aggregation": "first"},
    ]
    assert dataset.description == (
        "CoNLL columns tagged BIO, 2 texts with 3 entities; no -DOCSTART- says where documents begin, so each sentence "
        "is a text of its own"
    )


@pytest.mark.parametrize(
    ("unit", "content"),
    [
        pytest.param("document", "-DOCSTART- O\n\n" + TWO_TEXTS, id="it says where documents begin"),
        pytest.param("sentence", TWO_TEXTS, id="sentences are asked for"),
    ],
)
def test_nothing_is_said_about_documents_of_a_file_if(tmp_path: Path, unit: Any, content: str) -> None:
    assert open_file(tmp_path, content, unit=unit).description.endswith("with 3 entities")


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


def test_texts_with_offsets_are_sent_as_they_stand(tmp_path: Path) -> None:
    path = tmp_path / "dev.jsonl"
    path.write_text('{"text": "Ann met\\nBo, who left.", "entities": [[0, 3, "PER"], [8, 10, "PER"]]}\n')
    dataset = EntityRecognition(path, model("ner", LABELS), {})
    assert [item.body for item in dataset.items] == [{"text": "Ann met\nBo, who left."}]
    assert dataset.description == "JSON lines, 1 texts with 2 entities"
    scores = dataset.score([found(("PER", 0, 3), ("PER", 8, 11), ("PER", 13, 15))])
    assert values(dataset, scores)["precision"] == (pytest.approx(1 / 3), 2)
    assert scores.notes == ["1 of 3 found entities begin or end inside a word of the file."]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["O", "B-PER", "I-PER", "L-PER", "U-PER", "B-LOC", "I-LOC", "L-LOC", "U-LOC"], id="BILOU"),
        pytest.param(["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], id="BIO"),
        pytest.param(["LOC", "PER", "O"], id="types alone"),
    ],
)
@pytest.mark.parametrize(
    "content",
    [
        pytest.param("Ann B-PER\nLee L-PER\nmet O\nBo U-PER\n\nOslo U-LOC\n", id="BILOU"),
        pytest.param("Ann PER\nLee PER\nmet O\nBo PER\n\nOslo LOC\n", id="types alone"),
    ],
)
def test_any_model_is_measured_on_a_file_tagged(tmp_path: Path, content: str, labels: list[str]) -> None:
    path = tmp_path / "dev.conll"
    path.write_text(content)
    dataset = EntityRecognition(path, model("ner", labels), {})
    scores = dataset.score([found(("PER", 0, 7), ("PER", 12, 14)), found(("LOC", 0, 4))])
    assert values(dataset, scores)["entity F1"] == (1.0, 3)


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


def test_nothing_is_right_about_a_refused_text_not_even_what_was_not_invented(tmp_path: Path) -> None:
    dataset = open_file(tmp_path)
    outcomes: list[Outcome] = [found(("PER", 0, 7)), Refusal("422")]
    decisions = dataset.score(outcomes).decisions
    assert decisions is not None
    assert not decisions.right((1, ("PER", (0, 4))))  # what another model invented there
    assert decisions.right((0, ("LOC", (0, 4))))


def test_sentences_of_one_document_are_not_taken_for_independent(tmp_path: Path) -> None:
    content = "-DOCSTART- O\n\nAnn B-PER\n\nBo B-PER\n\n-DOCSTART- O\n\nOslo B-LOC\n"
    dataset = open_file(tmp_path, content, unit="sentence")
    assert [(item.document, item.line) for item in dataset.items] == [(0, 3), (0, 5), (1, 9)]
    assert dataset.documents == 2
    scores = dataset.score([found(("PER", 0, 3)), found(), found(("LOC", 0, 4))])
    recall = next(figure for figure in scores.figures if figure.name == "recall")
    assert recall.items.tolist() == [2, 1]
    assert [recall.statistic(np.array([number])) for number in (0, 1)] == [0.5, 1.0]
    assert values(dataset, scores)["recall"] == (pytest.approx(2 / 3), 3)


@pytest.mark.parametrize(
    ("labels", "same"),
    [
        pytest.param(["B-LOC", "I-LOC", "E-LOC", "S-LOC", "S-PER", "B-PER", "I-PER", "E-PER", "O"], True, id="BIOES"),
        pytest.param(["O", "PER", "LOC"], True, id="plain labels"),
        pytest.param(["O", "B-PER", "I-PER"], False, id="one type less"),
    ],
)
def test_models_are_compared_by_their_types_of_entities(tmp_path: Path, labels: list[str], same: bool) -> None:
    dataset = open_file(tmp_path)
    assert (dataset.basis(model("ner", LABELS)) == dataset.basis(model("ner", labels))) is same


def test_each_text_is_judged_with_the_entities_as_the_service_writes_them(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, TWO_TEXTS + "\nso O\n")
    first, second, third = dataset.judge([found(("PER", 12, 14), ("LOC", 0, 3)), Refusal("422"), found()])
    assert first == Judgement(
        [
            {"entity": "PER", "text": "Ann Lee", "start": 0, "end": 7},
            {"entity": "PER", "text": "Bo", "start": 12, "end": 14},
        ],
        [
            {"entity": "LOC", "text": "Ann", "start": 0, "end": 3},
            {"entity": "PER", "text": "Bo", "start": 12, "end": 14},
        ],
        False,
        0.5,
    )
    assert second == Judgement([{"entity": "LOC", "text": "Oslo", "start": 0, "end": 4}], None, False, 0.0)
    assert third == Judgement([], [], True, None)
