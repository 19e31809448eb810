"""What a token label says about where entities begin and end.

Three families are told apart by the model's list of labels: BIO ("B-PER", "I-PER"), BIOES and its other spelling BILOU
(with "E-"/"L-" on the last and "S-"/"U-" on the only token of an entity), and plain labels ("PER"). "O" is outside in
all of them. Models that are served and files that are read have the same rule.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array

OUTSIDE = "O"

POSITION_PREFIX = re.compile(r"[BIELSU]-.")
"""How a label with a position begins."""
# A letter before or after a type, in more ways than are read; M and W are the inside and the single of BMES and BMEWO.
_SPELT_POSITION = re.compile(r"([BIELSUMW])(?:[-_.:/|](.*))?|(.+)[-_.:/|]([BIELSUMW])", re.IGNORECASE)
_OPENING = frozenset("BSU")
_CLOSING = frozenset("ELSU")


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """For each label, in the order of the logits: its entity type, and whether it opens or closes an entity.

    Attributes:
        labels: The labels as the model names them.
        positions: The letter before the hyphen where it is a position ("B" of "B-PER"), otherwise "".
        entities: Names of the entity types; `OUTSIDE` is one of them where the labels have it.
        entity_of: Index into `entities` for each label, int64 `[labels]`.
        opens: Whether a token with this label begins a new entity in any case, bool `[labels]`.
        closes: Whether a token with this label is the last of its entity in any case, bool `[labels]`.
    """

    labels: tuple[str, ...]
    positions: tuple[str, ...]
    entities: tuple[str, ...]
    entity_of: Int64Array
    opens: npt.NDArray[np.bool_]
    closes: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Sequence[str]) -> "LabelScheme":
        """Read the scheme off a model's labels.

        "E-", "L-", "S-" and "U-" are positions only if every label has a position: "E-MAIL" among plain labels is one.
        """
        inside = [label for label in labels if label != OUTSIDE]
        has_ends = all(POSITION_PREFIX.match(label) for label in inside)
        prefixes = "BIELSU" if has_ends else "BI"
        split = [_split(label, prefixes) for label in labels]
        entities = tuple(dict.fromkeys(entity for _, entity in split))
        numbers = {entity: number for number, entity in enumerate(entities)}
        return cls(
            labels=tuple(labels),
            positions=tuple(position for position, _ in split),
            entities=entities,
            entity_of=np.array([numbers[entity] for _, entity in split], dtype=np.int64),
            opens=np.array([position in _OPENING for position, _ in split], dtype=np.bool_),
            closes=np.array([position in _CLOSING for position, _ in split], dtype=np.bool_),
        )

    def begins(self, labels: Int64Array) -> npt.NDArray[np.bool_]:
        """Tell which of a sequence's labels begin an entity, or a stretch outside of all; bool `[labels]`.

        An entity goes on as long as its type does, unless a label opens the next one or has closed it.
        """
        entities = self.entity_of[labels]
        changes = (entities[1:] != entities[:-1]) | self.opens[labels[1:]] | self.closes[labels[:-1]]
        return np.insert(changes, 0, True)


def unread_positions(labels: Sequence[str]) -> list[str]:
    """Return the labels whose position is spelt as `LabelScheme` does not read it, so that they are types of their own.

    Such are "M-PER" and "E-PER" of BMES, "b-per", "B_PER", "PER-B", and "B" and "I" without a type. Labels are taken
    for those of a scheme if one type has a beginning and something that goes on.
    """
    letters: dict[str, set[str]] = {}
    unread = []
    for label, position in zip(labels, LabelScheme.of(labels).positions, strict=True):
        spelt = _SPELT_POSITION.fullmatch(label)
        if spelt is not None:
            letter, entity = (spelt[1], spelt[2] or "") if spelt[1] else (spelt[4], spelt[3])
            letters.setdefault(entity, set()).add(letter.upper())
            if not position:
                unread.append(label)
    return unread if any("B" in found and found & {"I", "M"} for found in letters.values()) else []


def _split(label: str, prefixes: str) -> tuple[str, str]:
    """Return a label's position ("" where it has none) and entity type."""
    if len(label) > 2 and label[0] in prefixes and label[1] == "-":
        return label[0], label[2:]
    return "", label
