"""Shows how far a training is: a bar on a terminal, plain lines elsewhere, and every measurement in a log file."""

import sys
import time
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """The progress of one task's training."""

    def __init__(self, task: str, log_file: Path) -> None:
        """Shows the progress of ``task`` and appends its measurements to ``log_file``."""
        self._task = task
        self._log_file = log_file
        self._bar: tqdm[NoReturn] | None = None
        self._stage = -1
        self._last_line = -_SECONDS_BETWEEN_LINES

    def step(self, stage: int, step: int, steps: int, loss: float) -> None:
        """Shows that ``step`` of a stage's ``steps`` is done."""
        if sys.stderr.isatty():
            self._show_bar(stage, step, steps, loss)
        elif time.monotonic() - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = time.monotonic()
            print(f"{self._task} stage {stage + 1}: step {step} of at most {steps}, loss {loss:.3f}", flush=True)

    def note(self, line: str) -> None:
        """Prints a line and keeps it in the log."""
        self._log_file.parent.mkdir(parents=True, exist_ok=True)
        stamped = f"{time.strftime('%H:%M:%S')} {line}"
        with self._log_file.open("a", encoding="utf-8") as log:
            log.write(f"{stamped}\n")
        tqdm.write(stamped)
        sys.stdout.flush()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show_bar(self, stage: int, step: int, steps: int, loss: float) -> None:
        bar = self._bar
        if bar is None or stage != self._stage:
            self.close()
            name = f"{self._task} stage {stage + 1}"
            self._bar = bar = tqdm(total=steps, desc=name, unit="step", dynamic_ncols=True)
            self._stage = stage
        bar.update(step - bar.n)
        bar.set_postfix(loss=f"{loss:.3f}")
