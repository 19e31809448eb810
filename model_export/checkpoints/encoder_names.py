"""Where the encoder stands among the names of a checkpoint's tensors.

It is told by what only an encoder has: word embeddings and numbered layers. A file may hold several, such as averaged
weights beside the plain ones; which of them is meant is for a person to say, and names tell what to advise.
"""

import re
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from pathlib import Path

from model_export.errors import CheckpointError, first_few, shortened

Parts = tuple[str, ...]

ENCODER = "bert"
# What begins a name below the encoder.
_OF_ENCODER = ("embeddings", "encoder", "pooler")
# What a training calls its model, and what it keeps of another beside that.
_MODELS = {"bert", "model", "module", "model_state_dict", "net", "network", "params", "state_dict", "weights"}
_BESIDE_IT = {
    *("average", "averaged", "avg", "ema", "shadow", "swa", "teacher"),
    *("grad", "gradient", "gradients", "grads", "momentum", "optim", "optimizer"),
}
# As many as a message compares.
_MOST_ENCODERS = 8


def find_encoder(names: Mapping[str, Parts], where: Path, separator: str) -> Parts | None:
    """Return what leads to the encoder; None if there is none.

    Args:
        names: The parts of each name without wrappers, by the name in the files.
        where: The file or folder, for messages.
        separator: Between the parts of a name.

    Raises:
        CheckpointError: There are several; the message says how one is left out.
    """
    every = names.values()
    words = {at for parts in every if (at := _before(parts, "embeddings", "word_embeddings")) is not None}
    layers = {at for parts in every if (at := _before(parts, "encoder", "layer")) is not None}
    found = sorted(words or layers)
    if len(found) > 1:
        below = [f"{separator.join(parts)}{separator}" if parts else "no name" for parts in found]
        raise CheckpointError(
            f"{where}: holds several encoders, below {', '.join(first_few(below))}; "
            f"{_how_to_leave_out(found, names, separator)}"
        )
    return found[0] if found else None


def _how_to_leave_out(encoders: Sequence[Parts], names: Mapping[str, Parts], separator: str) -> str:
    """Return the option that keeps one of several encoders: the one that is called a model, as far as names tell.

    Args:
        encoders: What leads to each.
        names: The parts of each name without wrappers, by the name in the files.
        separator: Between the parts of a name.
    """
    if len(encoders) > _MOST_ENCODERS:
        return "leave out all but one with --ignore-weights"
    shared = len(_shared(encoders))
    likely = {encoder: _likelihood(encoder[shared:]) for encoder in encoders}
    best = [encoder for encoder in encoders if likely[encoder] == max(likely.values())]
    patterns = []
    for encoder in encoders if len(best) > 1 else (encoder for encoder in encoders if encoder not in best):
        # Its head stands beside it.
        whole = encoder[:-1] if len(encoder) > 1 and encoder[-1] == ENCODER else encoder
        own = [name.split(separator)[:-1] for name, parts in names.items() if begins(parts, whole)]
        pattern = separator.join([*_shared(own), "*"])
        others = [other for other in encoders if other != encoder]
        kept = (name for name, parts in names.items() if any(is_of(parts, other) for other in others))
        if not any(fnmatchcase(name, pattern) for name in kept):
            patterns.append(f"--ignore-weights '{shortened(pattern)}'")
    if len(best) > 1 and len(patterns) > 1:
        return f"leave out all but the one to serve: {' or '.join(patterns)}"
    return f"leave out all but one, for example with {' '.join(patterns) or '--ignore-weights'}"


def begins(parts: Parts, start: Parts) -> bool:
    """Tell whether a name is below another."""
    return len(parts) > len(start) and parts[: len(start)] == start


def is_of(parts: Parts, encoder: Parts) -> bool:
    """Tell whether a name is of the encoder that another leads to."""
    return begins(parts, encoder) and parts[len(encoder)] in _OF_ENCODER


def _likelihood(name: Parts) -> int:
    """Return how likely something is what its training was for, by its name: 1, 0, or -1."""
    words = {word for part in name for word in re.split(r"[^a-z]+", part.lower())}
    return -1 if words & _BESIDE_IT else int(set(name) <= _MODELS)


def _before(parts: Parts, first: str, second: str) -> Parts | None:
    """Return what stands before two parts that follow each other, the last time that they do."""
    for at in range(len(parts) - 2, -1, -1):
        if parts[at : at + 2] == (first, second):
            return parts[:at]
    return None


def _shared(names: Sequence[Sequence[str]]) -> list[str]:
    """Return the parts that all names begin with."""
    return [parts[0] for parts in takewhile(lambda parts: len(set(parts)) == 1, zip(*names, strict=False))]
