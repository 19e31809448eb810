"""Which labels a model gets for a file of entities: those of its head, if it can learn the file with them."""

from pathlib import Path

import pytest

from evaluation.data.source_text import DataError
from finetuning.data import TaggedTexts, read_data
from finetuning.options import FinetuneOptions

BILOU = "Ann B-PER\nLee L-PER\nmet O\nBo U-PER\n"
PLAIN = "Ann PER\nLee PER\nmet O\nBo PER\n"
OF_BIO = ("O", "B-PER", "I-PER")
OF_BILOU = ("O", "B-LOC", "I-LOC", "L-LOC", "U-LOC", "B-PER", "I-PER", "L-PER", "U-PER")


def read(folder: Path, training: str, own_labels: tuple[str, ...] | None, evaluation: str | None = None) -> TaggedTexts:
    train, measured = folder / "train.conll", folder / "eval.conll"
    train.write_text(training)
    measured.write_text(evaluation or training)
    data = read_data(FinetuneOptions("ner", train, measured), own_labels)
    assert isinstance(data, TaggedTexts)
    return data


@pytest.mark.parametrize(
    ("content", "own_labels", "labels"),
    [
        pytest.param(BILOU, None, OF_BIO, id="BILOU, and no head"),
        pytest.param(PLAIN, None, OF_BIO, id="types alone, and no head"),
        pytest.param(BILOU, OF_BIO, OF_BIO, id="BILOU, and a head of BIO"),
        pytest.param(BILOU, OF_BILOU, OF_BILOU, id="BILOU, and a head of BILOU"),
        pytest.param(PLAIN, ("PER", "LOC", "O"), ("PER", "LOC", "O"), id="types alone, and a head of types alone"),
        pytest.param(BILOU, ("PER", "LOC", "O"), OF_BIO, id="a head that cannot tell neighbours apart"),
        pytest.param(BILOU, ("O", "B-LOC", "I-LOC"), OF_BIO, id="a head for other types"),
        pytest.param(PLAIN, ("O", "B-PER", "M-PER", "E-PER"), OF_BIO, id="a head of BMES"),
    ],
)
def test_the_labels_are_those_of(
    tmp_path: Path, content: str, own_labels: tuple[str, ...] | None, labels: tuple[str, ...]
) -> None:
    assert read(tmp_path, content, own_labels).labels == labels


def test_the_two_files_may_be_tagged_in_different_ways(tmp_path: Path) -> None:
    data = read(tmp_path, BILOU, None, "Ann PER\nmet O\nBo PER\n")
    assert [(one.label, one.start, one.end) for one in data.evaluation.texts[0].entities] == [
        ("PER", 0, 3),
        ("PER", 8, 10),
    ]
    with pytest.raises(DataError, match=r"eval\.conll:1: unknown label 'LOC'; the model's labels are: PER"):
        read(tmp_path, BILOU, None, "Oslo LOC\n")


def test_texts_with_offsets_train_what_is_measured_on_columns(tmp_path: Path) -> None:
    train, measured = tmp_path / "train.jsonl", tmp_path / "eval.conll"
    train.write_text('{"text": "Ann met Bo.", "entities": [[0, 3, "PER"], [8, 10, "PER"]]}\n')
    measured.write_text(BILOU)
    data = read_data(FinetuneOptions("ner", train, measured), ("PER", "LOC", "O"))
    assert isinstance(data, TaggedTexts)
    assert data.labels == OF_BIO
    assert data.training.texts[0].text == "Ann met Bo."
