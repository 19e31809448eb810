"""Faults of a configuration that change no answer: they are put right, and told, where others are refused.

A model is exported for its answers. What counts in training only may be no number, and padding, which attention leaves
out by its position, may have any id that there is. What a loss leaves out (-100) is not an output, and needs no name.
"""

import math
from collections.abc import Mapping
from typing import Any, TypeGuard

from bigbird_inference.manifest import MOST_LABELS
from model_export.config import BigBirdConfig
from model_export.errors import first_few

_OF_TRAINING = ("hidden_dropout_prob", "attention_probs_dropout_prob", "classifier_dropout", "initializer_range")
_USUAL = BigBirdConfig()


def put_right(values: Mapping[str, Any]) -> tuple[dict[str, Any], tuple[str, ...]]:
    """Return the fields of a configuration without harmless faults, and a line for each that was put right.

    Args:
        values: Under Hugging Face's names; `vocab_size` among them unless it is the usual one.
    """
    fields = dict(values)
    lines = []
    for name in _OF_TRAINING:
        given = fields.get(name)
        if isinstance(given, float) and not math.isfinite(given):
            fields[name] = getattr(_USUAL, name)
            lines.append(f"{name}: {given} counts in training only; {fields[name]} stands in for it")
    padding, vocabulary = fields.get("pad_token_id"), fields.get("vocab_size", _USUAL.vocab_size)
    if _is_whole(padding) and _is_whole(vocabulary) and not 0 <= padding < vocabulary:
        fields["pad_token_id"] = 0
        lines.append(
            f"pad_token_id: {padding} is not a token; padding is left out by its position, so 0 stands in for it"
        )
    for name in ("id2label", "label2id"):
        names = fields.get(name)
        if isinstance(names, dict):
            stray = [key for key, value in names.items() if _is_no_output(key if name == "id2label" else value)]
            fields[name] = {key: value for key, value in names.items() if key not in stray}
            if stray:
                lines.append(f"{name}: left out, as no output has such a number: {', '.join(first_few(stray))}")
    return fields, tuple(lines)


def _is_no_output(number: Any) -> bool:
    """Tell whether something is a number that no label can have."""
    try:
        return not 0 <= int(number) < MOST_LABELS
    except (TypeError, ValueError, OverflowError):
        return False  # told by whoever reads the labels


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)
