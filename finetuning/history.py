"""What happened in a training, step by step: the numbers behind its curve."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any


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
