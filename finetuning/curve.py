"""A training's curve: a file of numbers and a picture of them."""

import importlib.util
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from finetuning.history import History
from model_export.errors import ExportError

_SMOOTHED_SHARE = 25


@dataclass(frozen=True, slots=True)
class Curve:
    """The two files of a training.

    Attributes:
        folder: Where they are.
        title: Above the picture.
        score_name: What was measured.
        note: Says that the picture could not be drawn, which is no reason to lose a training.
    """

    folder: Path
    title: str
    score_name: str
    note: Callable[[str], None]

    def write_numbers(self, history: History) -> None:
        """Write every step and every measurement as a JSON object, in place of an older file."""
        path = self.folder / "curve.jsonl"
        partial = path.with_name(f"{path.name}.partial")
        partial.write_text("".join(f"{line}\n" for line in history.json_lines()), encoding="utf-8")
        os.replace(partial, path)

    def redraw(self, history: History) -> None:
        """Draw the picture anew, in place of an older one."""
        path = self.folder / "curve.png"
        partial = path.with_name(f"{path.name}.partial")
        try:
            draw(history, partial, title=self.title, score_name=self.score_name)
            os.replace(partial, path)
        except Exception as error:  # matplotlib names no classes of what can go wrong in it
            self.note(f"{path}: not drawn: {type(error).__name__}: {error}")


def require_matplotlib() -> None:
    """Make sure that a curve can be drawn at all.

    Raises:
        ExportError: matplotlib is not installed.
    """
    if importlib.util.find_spec("matplotlib") is None:
        raise ExportError(
            "the curve of a training needs the package 'matplotlib', which is not installed. Training needs the extra "
            "`train`: pip install 'bigbird-serve[train,cpu]'"
        )


def draw(history: History, path: Path, *, title: str, score_name: str) -> None:
    """Draw loss and score over the steps as a PNG.

    Args:
        history: Of the training.
        path: The file to write, whatever its ending.
        title: Above the picture.
        score_name: What was measured.
    """
    # Imported here: nothing else of a training needs it.
    from matplotlib.figure import Figure

    steps = np.arange(1, len(history.losses) + 1)
    losses = np.array(history.losses)
    width = max(1, len(losses) // _SMOOTHED_SHARE)
    figure = Figure(figsize=(8, 5), layout="constrained")
    above, below = figure.subplots(2, 1, sharex=True)
    above.set_title(title)
    above.plot(steps, losses, color="#b8c4d6", linewidth=0.8, label="each step")
    if width > 1:
        smooth = np.convolve(losses, np.ones(width) / width, mode="valid")
        above.plot(steps[width - 1 :], smooth, color="#1f4e9c", label=f"mean of {width} steps")
        above.legend()
    above.set_ylabel("loss")
    above.set_ylim(bottom=0)
    measured = history.measurements
    below.plot([one.total_steps for one in measured], [one.score for one in measured], marker="o", color="#1f4e9c")
    best = history.best
    if best is not None:
        below.plot([best.total_steps], [best.score], marker="o", color="#c4512d", label=f"best: {best.score:.3f}")
        below.legend()
    below.set_ylabel(score_name)
    below.set_xlabel("optimiser steps")
    for axes in (above, below):
        axes.grid(alpha=0.3)
    figure.savefig(path, format="png", dpi=120, metadata={"Software": None})
