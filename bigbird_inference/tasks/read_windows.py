"""Where a text was cut into windows, for answers that are asked to tell it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bigbird_inference.tasks.offset_units import End, Start
from bigbird_inference.tokenization.encoded import TokenizedText, Window

Windows = Annotated[
    bool,
    Field(description="Whether the answer lists the windows in which the text was read, and what each of them gave."),
]


@dataclass(frozen=True, slots=True)
class ReadWindow:
    """A part of the text that the model read at once."""

    start: Start
    end: End
    tokens: Annotated[int, Field(description="How many of the text's tokens it holds.")]


def read_windows(tokens: TokenizedText, windows: Sequence[Window]) -> list[ReadWindow]:
    """Return the characters that each window holds.

    Args:
        tokens: The whole text's, with positions.
        windows: In the order of the text.
    """
    return [
        ReadWindow(
            int(tokens.starts[window.first_token]),
            int(tokens.ends[window.first_token + window.token_count - 1]),
            window.token_count,
        )
        for window in windows
    ]
