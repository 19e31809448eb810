"""What a token label says about where entities begin and end.

Three families are told apart by the model's list of labels: BIO ("B-PER", "I-PER"), BIOES and its other spelling BILOU
(with "E-"/"L-" on the last and "S-"/"U-" on the only token of an entity), and plain labels ("PER"). "O" is outside
in all of them.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.encoded import Int64Array

OUTSIDE = "O"

_POSITION_PREFIX = re.compile(r"[BIELSU]-.")
_OPENING = frozenset("BSU")
_CLOSING = frozenset("ELSU")


@dataclass(frozen=True, slots=True)
class LabelScheme:
    """For each label, in the order of the logits: its entity type, and whether it opens or closes an entity.

    Attributes:
        labels: The labels as the model names them.
        entities: Names of the entity types; `OUTSIDE` is one of them where the labels have it.
        entity_of: Index into `entities` for each label, int64 `[labels]`.
        opens: Whether a token with this label begins a new entity in any case, bool `[labels]`.
        closes: Whether a token with this label is the last of its entity in any case, bool `[labels]`.
        outside: Whether the label marks no entity, bool `[labels]`.
    """

    labels: tuple[str, ...]
    entities: tuple[str, ...]
    entity_of: Int64Array
    opens: npt.NDArray[np.bool_]
    closes: npt.NDArray[np.bool_]
    outside: npt.NDArray[np.bool_]

    @classmethod
    def of(cls, labels: Sequence[str]) -> "LabelScheme":
        """Read the scheme off a model's labels.

        "E-", "L-", "S-" and "U-" are positions only if every label has a position: "E-MAIL" among plain labels is one.
        """
        inside = [label for label in labels if label != OUTSIDE]
        has_ends = all(_POSITION_PREFIX.match(label) for label in inside)
        prefixes = "BIELSU" if has_ends else "BI"
        split = [_split(label, prefixes) for label in labels]
        entities = tuple(dict.fromkeys(entity for _, entity in split))
        return cls(
            labels=tuple(labels),
            entities=entities,
            entity_of=np.array([entities.index(entity) for _, entity in split], dtype=np.int64),
            opens=np.array([position in _OPENING for position, _ in split], dtype=np.bool_),
            closes=np.array([position in _CLOSING for position, _ in split], dtype=np.bool_),
            outside=np.array([label == OUTSIDE for label in labels], dtype=np.bool_),
        )


def _split(label: str, prefixes: str) -> tuple[str, str]:
    """Return a label's position ("" where it has none) and entity type."""
    if len(label) > 2 and label[0] in prefixes and label[1] == "-":
        return label[0], label[2:]
    return "", label
