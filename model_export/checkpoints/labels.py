"""What the outputs of a head are called: the weights say how many there are, a person or the configuration names them.

A configuration may name too few or too many, or none: it was written by hand, or the head was exchanged. A checkpoint
is refused only where two outputs have one name: an answer gives a label's name and nothing else, so nobody could tell
them apart, and only who trained the model knows which is which.
"""

from collections import Counter
from collections.abc import Sequence

from bigbird_inference.manifest import MOST_LABELS
from model_export.errors import ConfigError, first_few

LABELLED_TASKS = ("classify", "ner")
"""Tasks whose answers name labels."""


def settle_labels(
    names: Sequence[str], count: int, given: Sequence[str] | None = None
) -> tuple[tuple[str, ...], list[str]]:
    """Return a name for each output of a head, and a line for everything that is not as the configuration has it.

    Args:
        names: Those of the configuration, in order; empty where it has none.
        count: Outputs of the head.
        given: What a person wants them to be called instead.

    Raises:
        ConfigError: Two have the same name, there are more than a bundle can hold, or a person gave another number of
            names.
    """
    if not 0 < count <= MOST_LABELS:
        raise ConfigError(f"labels: the head has {count} outputs, and can be served with 1 to {MOST_LABELS}")
    if given is not None:
        if len(given) != count:
            # One name may be the path of a file that is not there.
            other = f", or give a file that is there; none is {given[0]!r:.80}" if len(given) == 1 else ""
            raise ConfigError(
                f"labels: {len(given)} are given, and the head has {count} outputs; name each of them{other}"
            )
        _require_names(given)
        return tuple(given), []
    lines = []
    surplus = [name for name in names[count:] if name]
    if surplus:
        lines.append(f"labels: the head has {count} outputs; left out: {_listed(surplus)}")
    own = [*names[:count], *[""] * (count - len(names))]
    labels = numbered_labels(own)
    made_up = [label for label, name in zip(labels, own, strict=True) if not name]
    if made_up:
        lines.append(
            f"labels: the configuration names {count - len(made_up)} of the head's {count} outputs; made up: "
            f"{_listed(made_up)} (name all of them with --labels)"
        )
    _require_names(labels)
    return labels, lines


def numbered_labels(names: Sequence[str]) -> tuple[str, ...]:
    """Return the names with transformers' usual ones, `LABEL_0` and so on, for empty ones."""
    return tuple(name or f"LABEL_{number}" for number, name in enumerate(names))


def _require_names(labels: Sequence[str]) -> None:
    repeated = [label for label, times in Counter(labels).items() if times > 1]
    if repeated:
        raise ConfigError(
            f"labels: {repeated[0]!r:.80} is given twice, and answers with it could not be told apart; give each "
            f"of the {len(labels)} outputs a name of its own with --labels"
        )
    if "" in labels:
        raise ConfigError(f"labels: number {labels.index('')} has no name; give each of the {len(labels)} outputs one")


def _listed(names: Sequence[str]) -> str:
    return ", ".join(first_few(names))
