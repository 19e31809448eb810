"""Shows how far a training is: a bar on a terminal, plain lines elsewhere, and notes in a log file as well."""

import sys
import time
from pathlib import Path
from typing import NoReturn

from tqdm import tqdm

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """The progress of one training, on standard error."""

    def __init__(self, title: str, log_file: Path | None = None) -> None:
        """Shows the progress under a title, and appends notes to a log file where one is given."""
        self._title = title
        self._log_file = log_file
        self._bar: tqdm[NoReturn] | None = None
        self._part = ""
        self._last_line = -_SECONDS_BETWEEN_LINES

    def step(self, part: str, step: int, steps: int, loss: float) -> None:
        """Shows that a step is done.

        Args:
            part: What of the training, for example "stage 2"; may be empty.
            step: Steps done of that part.
            steps: How many it has at most.
            loss: Of this step.
        """
        if sys.stderr.isatty():
            self._show_bar(part, step, steps, loss)
            return
        now = time.monotonic()
        if now - self._last_line > _SECONDS_BETWEEN_LINES:
            self._last_line = now
            title = f"{self._title} {part}".strip()
            print(f"{title}: step {step} of at most {steps}, loss {loss:.3f}", file=sys.stderr, flush=True)

    def note(self, line: str) -> None:
        """Prints a line and keeps it in the log."""
        if self._log_file is not None:
            self._log_file.parent.mkdir(parents=True, exist_ok=True)
            with self._log_file.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """Takes the bar away."""
        if self._bar is not None:
            self._bar.close()
            self._bar = None

    def _show_bar(self, part: str, step: int, steps: int, loss: float) -> None:
        bar = self._bar
        if bar is None or part != self._part:
            self.close()
            title = f"{self._title} {part}".strip()
            self._bar = bar = tqdm(total=steps, initial=step - 1, desc=title, unit="step", dynamic_ncols=True)
            self._part = part
        bar.set_postfix(loss=f"{loss:.3f}", refresh=False)
        bar.update(step - bar.n)
