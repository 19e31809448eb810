"""The training and the evaluation file of a fine-tuning, read and checked, and the labels that they tell."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bigbird_inference.manifest import ProblemType
from evaluation.data.entity_files import read_entities
from evaluation.data.entity_texts import EntityFile
from evaluation.data.labelled_texts import Columns, LabelledText, Target, read_labelled_texts
from evaluation.data.plain_texts import PlainText, read_texts
from evaluation.data.source_text import DataError
from evaluation.data.squad import SquadFile, read_squad
from finetuning.entity_recognition import bio_labels, can_learn
from finetuning.options import FinetuneOptions

PROBLEM_OF_TARGET: dict[Target, ProblemType] = {
    "label": "single_label_classification",
    "labels": "multi_label_classification",
    "number": "regression",
}
_NUMBER_LABEL = "score"


@dataclass(frozen=True, slots=True)
class Questions:
    """Two files of SQuAD."""

    training: SquadFile
    evaluation: SquadFile
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class LabelledTexts:
    """Two tables, and the labels of the model: those that the training file has, or those that the head has."""

    training: list[LabelledText]
    evaluation: list[LabelledText]
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TaggedTexts:
    """Two files of texts with entities, and the labels of the model's tokens."""

    training: EntityFile
    evaluation: EntityFile
    labels: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PlainTexts:
    """Two files of texts."""

    training: list[PlainText]
    evaluation: list[PlainText]
    labels: tuple[str, ...] = ()


Data = Questions | LabelledTexts | TaggedTexts | PlainTexts


def read_data(options: FinetuneOptions, own_labels: Sequence[str] | None) -> Data:
    """Read both files.

    Args:
        options: Which files, and how to read them.
        own_labels: Those of the checkpoint's head, if it has one for the task; they stay if they are enough.

    Raises:
        DataError: A file cannot be used, or the evaluation file has a label that training does not know.
    """
    training, evaluation = options.training_file, options.evaluation_file
    match options.task:
        case "qa":
            return Questions(read_squad(training), read_squad(evaluation))
        case "fill-mask":
            return PlainTexts(_plain_texts(training, options), _plain_texts(evaluation, options))
        case "ner":
            tagged = read_entities(training, unit=options.unit)
            if not tagged.labels:
                raise DataError(training, None, "no entity is tagged in the file")
            kept = own_labels is not None and can_learn(own_labels, tagged)
            labels = tuple(own_labels or ()) if kept else bio_labels(tagged.labels)
            return TaggedTexts(tagged, read_entities(evaluation, unit=options.unit, model_labels=labels), labels)
        case "classify":
            return _read_labelled(options, own_labels)


def _read_labelled(options: FinetuneOptions, own_labels: Sequence[str] | None) -> LabelledTexts:
    """Read the two tables of a classification or a regression."""
    training, evaluation = options.training_file, options.evaluation_file
    texts = _labelled_texts(training, options)
    if options.target == "number":
        labels = _kept_number(own_labels)
        measured = _labelled_texts(evaluation, options)
    else:
        found = sorted({label for text in texts for label in text.labels}, key=_label_order)
        if len(found) < 2 and options.target == "label":
            raise DataError(training, None, f"every text has the label {found[0]!r}: nothing can be learned")
        labels = _kept(own_labels, found)
        if not labels:
            raise DataError(training, None, "no text has a label")
        measured = _labelled_texts(evaluation, options, labels)
    with_pairs, without = (training, evaluation) if _has_pairs(texts) else (evaluation, training)
    if _has_pairs(texts) != _has_pairs(measured):
        raise DataError(without, None, f"there is no second text in the file, while {with_pairs} has pairs of texts")
    return LabelledTexts(texts, measured, labels)


def _has_pairs(texts: Sequence[LabelledText]) -> bool:
    return any(text.pair is not None for text in texts)


def _labelled_texts(
    path: Path, options: FinetuneOptions, known_labels: Sequence[str] | None = None
) -> list[LabelledText]:
    return read_labelled_texts(
        path,
        options.target,
        columns=Columns(options.text_column, options.pair_column, options.label_column),
        header=options.header,
        separator=options.label_separator,
        known_labels=known_labels,
    )


def _plain_texts(path: Path, options: FinetuneOptions) -> list[PlainText]:
    return read_texts(path, field=options.text_column or "text")


def _kept(own_labels: Sequence[str] | None, found: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of the head where they hold all that were found."""
    return tuple(own_labels) if own_labels is not None and set(found) <= set(own_labels) else tuple(found)


def _kept_number(own_labels: Sequence[str] | None) -> tuple[str, ...]:
    return tuple(own_labels) if own_labels is not None and len(own_labels) == 1 else (_NUMBER_LABEL,)


def _label_order(label: str) -> tuple[int, str]:
    """Sort numbers by their size, before words."""
    return (int(label), label) if label.isascii() and label.isdigit() else (2**63, label)
