"""A training's curve: a file of numbers and a picture of them."""

import os
from pathlib import Path

import numpy as np

from model_export.training.history import History

_SMOOTHED_SHARE = 25


def write_json_lines(history: History, path: Path) -> None:
    """Write every step and every measurement as a JSON object, in place of an older file."""
    partial = path.with_name(f"{path.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in history.json_lines()), encoding="utf-8")
    os.replace(partial, path)


def draw(history: History, path: Path, *, title: str, score_name: str) -> None:
    """Draw loss and score over the steps as a PNG.

    Args:
        history: Of the training.
        path: The file to write.
        title: Above the picture.
        score_name: What was measured.
    """
    # Imported here: a training needs no matplotlib until it ends.
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
    figure.savefig(path, dpi=120, metadata={"Software": None})
