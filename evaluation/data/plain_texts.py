"""Texts without labels, for masked-language-model training: plain text or JSON lines."""

from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from evaluation.data.located_json import parse_json_lines
from evaluation.data.source_text import Mistakes, has_json_lines, read_source


@dataclass(frozen=True, slots=True)
class PlainText:
    """A text and the line on which it begins."""

    text: str
    line: int


def read_texts(path: Path, *, field: str = "text") -> list[PlainText]:
    """Read texts: from `.jsonl` one field of each line, otherwise paragraphs between empty lines.

    Args:
        path: The file.
        field: The field of JSON lines.

    Raises:
        DataError: There is none, or a line is not JSON or lacks the field.
    """
    source = read_source(path)
    if has_json_lines(path):
        return _fields(source, path, field)
    lines = enumerate(source.split("\n"), start=1)
    paragraphs = [list(group) for visible, group in groupby(lines, lambda entry: bool(entry[1].strip())) if visible]
    return [PlainText("\n".join(line.rstrip() for _, line in group), group[0][0]) for group in paragraphs]


def _fields(source: str, path: Path, field: str) -> list[PlainText]:
    texts = []
    with Mistakes(path) as mistakes:
        for line in parse_json_lines(source, mistakes):
            with mistakes.collected():
                texts.append(PlainText(line.field(field).text(), line.line))
    return texts
