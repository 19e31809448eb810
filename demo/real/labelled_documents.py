"""Documents with their entities: as lines of JSON with spans, and in CoNLL's format."""

import json
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

Entity = tuple[int, int, str]
"""`[start, end)` in code points, and a type."""

_PARAGRAPH_BREAKS = re.compile(r"(\n[^\S\n]*\n\s*)")
_WORD = re.compile(r"\w+|[^\w\s]")


@dataclass(frozen=True, slots=True)
class LabelledDocument:
    """A document and its entities, in the order of the text; the other fields are those of `Document`."""

    source: str
    name: str
    text: str
    topic: str
    entities: list[Entity]

    @property
    def words(self) -> int:
        """How many stand between spaces."""
        return len(self.text.split())

    def line(self) -> str:
        """Return it as a line of JSON."""
        return json.dumps(asdict(self), ensure_ascii=False) + "\n"

    @classmethod
    def of_line(cls, line: str) -> "LabelledDocument":
        """Return what `line` wrote."""
        return cls(**json.loads(line))


def conll(document: LabelledDocument) -> Iterator[str]:
    """Yield lines in CoNLL's format; each paragraph is a sentence, and punctuation stands alone everywhere."""
    yield "-DOCSTART- O\n"
    entities = iter([*document.entities, (len(document.text), len(document.text) + 1, "")])
    start, end, label = next(entities)
    mark = "B"
    offset = 0
    for paragraph in _PARAGRAPH_BREAKS.split(document.text):
        if paragraph.strip():
            yield "\n"
        for word in _WORD.finditer(paragraph):
            at, stop = offset + word.start(), offset + word.end()
            while at < stop:
                if end <= at:
                    start, end, label = next(entities)
                    mark = "B"
                    continue
                # A word that an entity begins or ends in is cut there.
                cut = min(place for place in (start, end, stop) if place > at)
                if start <= at:
                    yield f"{document.text[at:cut]} {mark}-{label}\n"
                    mark = "I"
                else:
                    yield f"{document.text[at:cut]} O\n"
                at = cut
        offset += len(paragraph)
    yield "\n"


def write(documents: Sequence[LabelledDocument], folder: Path, name: str) -> None:
    """Write both files of documents, each complete or not at all."""
    forms = {
        "jsonl": (document.line() for document in documents),
        "conll": (line for document in documents for line in conll(document)),
    }
    for ending, lines in forms.items():
        unfinished = folder / f".{name}.{ending}"
        with unfinished.open("w", encoding="utf-8") as file:
            file.writelines(lines)
        os.replace(unfinished, folder / f"{name}.{ending}")
