"""Texts with entities, whichever format a file has."""

from collections.abc import Sequence
from pathlib import Path

from evaluation.data.conll import ConllUnit, read_conll
from evaluation.data.entity_tags import TaggingScheme
from evaluation.data.entity_texts import EntityFile, read_entity_texts
from evaluation.data.source_text import DataError, has_json_lines


def read_entities(
    path: Path,
    *,
    unit: ConllUnit = "document",
    scheme: TaggingScheme | None = None,
    model_labels: Sequence[str] | None = None,
) -> EntityFile:
    """Read and check a file: by its ending JSON lines with offsets, otherwise CoNLL's columns.

    Args:
        path: The file.
        unit: What becomes a text; lines of JSON are documents, and stay whole.
        scheme: How words must be tagged; None finds out, and is the only choice for JSON lines.
        model_labels: Refuse entities of other types than these labels have.

    Raises:
        DataError: It cannot be used.
    """
    if not has_json_lines(path):
        return read_conll(path, unit=unit, scheme=scheme, model_labels=model_labels)
    if unit != "document":
        raise DataError(path, None, "JSON lines have no sentences; leave out --unit, or give CoNLL's columns")
    if scheme is not None:
        raise DataError(path, None, "JSON lines have no tags; leave out --scheme, or give CoNLL's columns")
    return read_entity_texts(path, model_labels)
