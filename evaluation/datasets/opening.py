"""From a task's name and a file to the data to ask about."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from evaluation.connection import ModelInfo
from evaluation.data.conll import ConllUnit
from evaluation.data.entity_tags import TaggingScheme
from evaluation.data.labelled_texts import Columns
from evaluation.datasets.base import Dataset
from evaluation.datasets.classification import Classification, LabelledFile
from evaluation.datasets.entity_recognition import EntityRecognition
from evaluation.datasets.question_answering import QuestionAnswering

TaskToEvaluate = Literal["qa", "classify", "ner"]


@dataclass(frozen=True, slots=True)
class DataSource:
    """A file, how to read it and how to ask about it.

    Attributes:
        task: What the file is for.
        path: The file.
        fields: More fields of every request; those that are None are left out.
        columns: Of labelled texts.
        header: Whether a table of labelled texts names its columns.
        separator: Between several labels in one cell.
        unit: What of a CoNLL file is one text.
        scheme: How a CoNLL file must be tagged.
    """

    task: TaskToEvaluate
    path: Path
    fields: Mapping[str, Any] = field(default_factory=dict)
    columns: Columns = field(default_factory=Columns)
    header: bool = True
    separator: str = ","
    unit: ConllUnit = "document"
    scheme: TaggingScheme | None = None


def open_dataset(source: DataSource, model: ModelInfo) -> Dataset:
    """Read a file.

    Raises:
        DataError: It cannot be used.
        EvaluationError: The model's answers cannot be compared with it.
    """
    fields = {name: value for name, value in source.fields.items() if value is not None}
    match source.task:
        case "qa":
            return QuestionAnswering(source.path, fields)
        case "classify":
            file = LabelledFile(source.path, source.columns, source.header, source.separator)
            return Classification(file, model, fields)
        case "ner":
            return EntityRecognition(source.path, model, fields, source.unit, source.scheme)
