"""Texts as they stand, with the places of their entities, in JSON lines.

    {"text": "EU rejects German call.", "entities": [[0, 2, "ORG"], [11, 17, "NORP"]]}

Each line is a document: its text, and for each entity the code points `[start, end)` and the type. Other fields are
passed over. `conll`, whose texts are made of words, has the same kinds of objects.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

from evaluation.data.entity_tags import TaggingScheme, entity_types
from evaluation.data.located_json import LocatedJson, parse_json_lines
from evaluation.data.source_text import Mistakes, read_source, unknown_label


@dataclass(frozen=True, slots=True)
class Entity:
    """The code points `[start, end)` of a text are an entity of this type."""

    label: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class EntityText:
    """A text with its entities.

    Attributes:
        text: As it is sent.
        entities: In the order of the text; none overlaps another.
        line: Where it begins in the file.
        document: Number of the document that it is, or is part of, from 0.
    """

    text: str
    entities: tuple[Entity, ...]
    line: int
    document: int

    def count_cuts(self, spans: Iterable[tuple[int, int]]) -> int:
        """Count the spans `[start, end)` that begin or end between two letters or digits."""
        return sum(self._within_word(start) or self._within_word(end) for start, end in spans)

    def _within_word(self, place: int) -> bool:
        return 0 < place < len(self.text) and self.text[place - 1].isalnum() and self.text[place].isalnum()


@dataclass(frozen=True, slots=True)
class EntityFile:
    """All texts of a file in its order, never empty.

    Attributes:
        path: The file.
        labels: The entity types, sorted.
        texts: Its texts.
        scheme: How its words are tagged; None where it tells offsets.
        divided: Whether it says where documents begin.
    """

    path: Path
    labels: tuple[str, ...]
    texts: tuple[EntityText, ...]
    scheme: TaggingScheme | None = None
    divided: bool = True

    @property
    def format(self) -> str:
        """What the file is made of, in a few words."""
        return "JSON lines" if self.scheme is None else f"CoNLL columns tagged {self.scheme}"


def read_entity_texts(path: Path, model_labels: Sequence[str] | None = None) -> EntityFile:
    """Read and check a `.jsonl` file.

    Args:
        path: The file.
        model_labels: Refuse entities of other types than these labels have.

    Raises:
        DataError: A line is not JSON or lacks a field, or an entity is not in its text, overlaps another or is of an
            unknown type; the message names the lines.
    """
    known = None if model_labels is None else entity_types(model_labels)
    texts: list[EntityText] = []
    source = read_source(path)
    with Mistakes(path) as mistakes:
        for document, line in enumerate(parse_json_lines(source, mistakes)):
            with mistakes.collected():
                texts.append(_text(line, document, known))
    return EntityFile(path, tuple(sorted({entity.label for text in texts for entity in text.entities})), tuple(texts))


def _text(line: LocatedJson, document: int, known: Sequence[str] | None) -> EntityText:
    text = line.field("text").text()
    entities = sorted(
        (_entity(item, len(text), known) for item in line.field("entities").items()),
        key=lambda entity: entity.start,
    )
    for before, after in pairwise(entities):
        if after.start < before.end:
            line.refuse(f"the entities {_listed(before)} and {_listed(after)} overlap: keep one of them")
    return EntityText(text, tuple(entities), line.line, document)


def _entity(item: LocatedJson, length: int, known: Sequence[str] | None) -> Entity:
    parts = item.items()
    if len(parts) != 3:
        item.refuse("an entity is not [start, end, type]")
    entity = Entity(parts[2].text(), parts[0].index(), parts[1].index())
    if not entity.start < entity.end <= length:
        item.refuse(f"the entity {_listed(entity)} is not in its text of {length} code points")
    if known is not None and entity.label not in known:
        item.refuse(unknown_label(entity.label, known))
    return entity


def _listed(entity: Entity) -> str:
    return f"[{entity.start}, {entity.end}, {entity.label!r}]"
