"""How sentence-transformers makes one vector of a text, where the checkpoint's folder says it.

It keeps each module that follows the model in a folder of its own: `1_Pooling`, `2_Normalize`. `/embed` has two of its
poolings, and scales vectors to length 1 unless a request asks otherwise; what it does not have is told.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bigbird_inference.manifest import SentencePooling
from model_export.checkpoints.files import optional_file, read_json

_POOLING_FILE = "1_Pooling/config.json"
_MODULE = re.compile(r"[0-9]_\w{1,80}", re.ASCII)
_COMPUTED = ("Pooling", "Normalize")
# What files say that versions before 6 wrote, for what newer ones say in `pooling_mode`.
_OLD_FIELDS = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len_tokens",
    "pooling_mode_weightedmean_tokens": "weightedmean",
    "pooling_mode_lasttoken": "lasttoken",
}


@dataclass(frozen=True, slots=True)
class FoundPooling:
    """What a folder says of pooling.

    Attributes:
        pooling: How `/embed` pools unless a request asks otherwise; None where nothing is said, or what it has not.
        files: What was read.
        changes: What it does not compute, a line each.
    """

    pooling: SentencePooling | None = None
    files: tuple[Path, ...] = ()
    changes: tuple[str, ...] = ()


def find_pooling(folder: Path) -> FoundPooling:
    """Return what a checkpoint's folder says of pooling.

    Raises:
        CheckpointError: The file for that cannot be read.
    """
    file = optional_file(folder, _POOLING_FILE)
    if file is None:
        return FoundPooling()
    modes = _modes(read_json(file))
    changes = [
        f"{entry.name}: a module of sentence-transformers that is left out, so that embeddings are others than there"
        for entry in sorted(folder.iterdir())
        if _MODULE.fullmatch(entry.name) and entry.name.partition("_")[2] not in _COMPUTED
    ]
    if modes == ["cls"]:
        return FoundPooling("cls", (file,), tuple(changes))
    if modes == ["mean"]:
        return FoundPooling("mean", (file,), tuple(changes))
    named = " and ".join(f"{mode!r:.40}" for mode in modes[:8]) or "none"
    changes.append(f"{_POOLING_FILE}: pooling {named} is not in /embed, which takes the mean; embeddings are others")
    return FoundPooling(None, (file,), tuple(changes))


def _modes(values: Mapping[str, Any]) -> list[object]:
    mode = values.get("pooling_mode")
    if mode is not None:
        return [*mode] if isinstance(mode, list) else [mode]
    return [name for field, name in _OLD_FIELDS.items() if values.get(field)]
