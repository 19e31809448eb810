"""How far a job is, on standard error."""

import time
from collections.abc import Sequence

from bigbird_inference.progress import Progress
from bulk.answering import Finished
from bulk.job_folder import Counts
from bulk.parts import Part


class JobProgress:
    """The job's progress, by what was read of the inputs.

    Args:
        size: How many bytes there are to read; None if nobody knows.
        counts: What was done before.
    """

    def __init__(self, size: int | None, counts: Counts) -> None:
        self._bytes = float(counts.input_bytes)
        self._part_bytes = 0.0
        self._tokens = 0
        self._rows = 0
        self._begun = time.monotonic()
        self._progress = Progress("batch", size, "B", line_seconds=10, scaled=True, begun=counts.input_bytes)

    def __enter__(self) -> "JobProgress":
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.close()

    def batch(self, part: Part, finished: Sequence[Finished], tokens: int) -> None:
        """Count a batch: its share of the part's tokens is its share of the part's bytes."""
        self._rows += len(finished)
        self._tokens += tokens
        self._part_bytes = min(self._part_bytes + part.bytes * tokens / max(part.tokens, 1), part.bytes)
        self._show()

    def part(self, part: Part) -> None:
        """Count a part as a whole."""
        self._bytes += part.bytes
        self._part_bytes = 0.0
        self._show()

    def count(self, counts: Counts) -> None:
        """Count rows that were answered elsewhere."""
        self._rows += counts.rows
        self._tokens += counts.tokens
        self._bytes += counts.input_bytes
        self._show()

    def _show(self) -> None:
        seconds = max(time.monotonic() - self._begun, 1e-9)
        speed = {"rows/s": f"{self._rows / seconds:.3g}", "tokens/s": f"{self._tokens / seconds:,.0f}"}
        self._progress.advance(int(self._bytes + self._part_bytes), **speed)
