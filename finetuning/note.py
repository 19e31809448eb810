"""What the person who trains should know of the data, though it is no error."""

from collections.abc import Iterator
from dataclasses import dataclass

_PLACES_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Note:
    """A finding about a file.

    Attributes:
        summary: What was found and how often; it stands in the card.
        places: Where, a line `FILE:LINE: ...` for each.
    """

    summary: str
    places: tuple[str, ...]

    def lines(self) -> Iterator[str]:
        """Yield what is printed: the summary and the first places."""
        yield f"note: {self.summary}"
        yield from self.places[:_PLACES_SHOWN]
        if len(self.places) > _PLACES_SHOWN:
            yield f"... and {len(self.places) - _PLACES_SHOWN} more"
