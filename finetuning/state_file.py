"""The file from which a stopped training goes on."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from model_export.errors import ExportError

Setting = str | int | float | bool | None


def write_state(path: Path, state: Mapping[str, Any]) -> None:
    """Write a state so that a crash at any time, of the process or the machine, leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f"{path.name}.partial")
    with partial.open("wb") as stream:
        torch.save(dict(state), stream)
        stream.flush()
        os.fsync(stream.fileno())
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Read a state.

    Raises:
        ExportError: The file is not a state.
    """
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as error:  # torch names no classes of what a broken file can raise
        raise ExportError(f"{path}: cannot be read as the state of a training: {_first_line(error)}") from error
    return state


def check_settings(path: Path, found: Mapping[str, Setting], wanted: Mapping[str, Setting]) -> None:
    """Make sure that a state was saved with the settings that are to go on.

    Raises:
        ExportError: They differ; the message names each that does.
    """
    differing = [
        f"{name} {found.get(name)!r}, not {wanted.get(name)!r}"
        for name in dict.fromkeys([*wanted, *found])
        if found.get(name) != wanted.get(name)
    ]
    if differing:
        raise ExportError(
            f"{path}: is the state of a training with {'; '.join(differing)}. Give the same settings to go on with "
            "it, or remove it to start anew"
        )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]
