"""The input in ranges of rows: what one worker is given at once, and what is done again if the worker dies.

Where a range ends depends on the rows from its beginning on and on nothing else, so the same input always has the same
ranges, wherever reading begins. Rows are not parsed: a range holds lines, or the names of documents.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from bulk.sources.rows import Position, SourceRow

RANGE_BYTES = 4 * 2**20
"""About a million tokens of text."""

_RANGE_ITEMS = 2**13


@dataclass(slots=True)
class InputRange:
    """Consecutive rows.

    Attributes:
        number: Which range it is, from 0.
        rows: What it holds.
        bytes: What that takes of the inputs.
    """

    number: int
    rows: list[SourceRow] = field(default_factory=list)
    bytes: int = 0

    @property
    def after(self) -> Position:
        """Where the next range begins."""
        return self.rows[-1].after if self.rows else Position()


def input_ranges(
    rows: Iterator[SourceRow], first: int, *, most_bytes: int = RANGE_BYTES, questions: int = 1
) -> Iterator[InputRange]:
    """Yield all rows in ranges; an input without rows is one range without any, for its part has the columns.

    Args:
        rows: From where a range begins.
        first: The number of that range.
        most_bytes: A range ends with the row that makes it so large.
        questions: How many questions are asked about each row.
    """
    most_rows = max(_RANGE_ITEMS // max(questions, 1), 1)
    own = InputRange(first)
    for row in rows:
        own.rows.append(row)
        own.bytes += row.bytes
        if own.bytes >= most_bytes or len(own.rows) >= most_rows:
            yield own
            own = InputRange(own.number + 1)
    if own.rows or not own.number:
        yield own
