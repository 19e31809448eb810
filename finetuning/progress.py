"""How far a training is: its steps on standard error, and notes in a log file as well."""

import sys
import time
from pathlib import Path

from tqdm import tqdm

from bigbird_inference import progress

_SECONDS_BETWEEN_LINES = 30.0


class Progress:
    """The progress of one training.

    Args:
        title: What is trained.
        log_file: Where notes are kept as well; None for nowhere.
    """

    def __init__(self, title: str, log_file: Path | None = None) -> None:
        self._title = title
        self._log_file = log_file
        self._steps: progress.Progress | None = None

    def step(self, part: str, step: int, steps: int, loss: float) -> None:
        """Tell that a step is done.

        Args:
            part: What of the training, for example "stage 2"; may be empty.
            step: Steps done of that part.
            steps: How many it has at most.
            loss: Of this step.
        """
        title = f"{self._title} {part}".strip()
        if self._steps is None or self._steps.description != title:
            self.close()
            self._steps = progress.Progress(title, steps, "step", _SECONDS_BETWEEN_LINES)
        self._steps.advance(step, loss=f"{loss:.3f}")

    def note(self, line: str) -> None:
        """Print a line and keep it in the log."""
        if self._log_file is not None:
            self._log_file.parent.mkdir(parents=True, exist_ok=True)
            with self._log_file.open("a", encoding="utf-8") as log:
                log.write(f"{time.strftime('%H:%M:%S')} {line}\n")
        tqdm.write(line, file=sys.stderr)
        sys.stderr.flush()

    def close(self) -> None:
        """Take the bar away."""
        if self._steps is not None:
            self._steps.close()
            self._steps = None
