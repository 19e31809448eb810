"""What happened in a training, step by step: the numbers, the file that keeps them, and the picture of them."""

import importlib.util
import json
import os
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bigbird_inference.extras import install_command
from model_export.errors import ExportError


@dataclass(frozen=True, slots=True)
class Measurement:
    """A measurement after so many steps."""

    total_steps: int
    stage: int
    score: float
    figures: Mapping[str, float]


@dataclass(slots=True)
class History:
    """All steps and measurements so far.

    Attributes:
        losses: Of each step, before its weights were changed.
        learning_rates: Of each step.
        measurements: In their order.
    """

    losses: list[float] = field(default_factory=list)
    learning_rates: list[float] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)

    @property
    def best(self) -> Measurement | None:
        """The measurement with the highest score, the earliest of equal ones."""
        return max(self.measurements, key=lambda measurement: measurement.score, default=None)

    def measurements_since_best(self) -> int:
        """Return how many measurements in a row were no better than an earlier one."""
        best = self.best
        return 0 if best is None else len(self.measurements) - 1 - self.measurements.index(best)

    def json_lines(self) -> Iterator[str]:
        """Yield a JSON object for each step, and one for each measurement after its step."""
        measured: dict[int, list[Measurement]] = {}
        for measurement in self.measurements:
            measured.setdefault(measurement.total_steps, []).append(measurement)
        for index, (loss, rate) in enumerate(zip(self.losses, self.learning_rates, strict=True)):
            yield json.dumps({"step": index + 1, "loss": loss, "learning_rate": rate})
            for measurement in measured.get(index + 1, ()):
                yield json.dumps(
                    {"step": index + 1, "stage": measurement.stage + 1, "score": measurement.score}
                    | dict(measurement.figures)
                )

    def to_state(self) -> dict[str, Any]:
        """Return plain lists and numbers, as a state file holds them."""
        return {
            "losses": list(self.losses),
            "learning_rates": list(self.learning_rates),
            "measurements": [
                [measurement.total_steps, measurement.stage, measurement.score, dict(measurement.figures)]
                for measurement in self.measurements
            ],
        }

    @classmethod
    def from_state(cls, state: Mapping[str, Any]) -> "History":
        """Undo `to_state`."""
        measurements = [Measurement(*values) for values in state["measurements"]]
        return cls(list(state["losses"]), list(state["learning_rates"]), measurements)


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
            "the curve of a training needs the package 'matplotlib', which is not installed: "
            f"{install_command('train', 'cpu')}"
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
