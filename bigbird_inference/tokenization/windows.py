"""Overlapping windows over a text that is longer than the model.

Windows are full but the last, which holds what remains: the shared tokens and at least one more. So neighbours share
exactly `stride` tokens everywhere, every window but the first opens with that much context, and a short remainder runs
in a short bucket. (The alternative, a full last window that ends with the text, costs up to a whole window more.)

Two bounds keep the work in proportion to the text: a window always brings at least an eighth of its room in new
tokens, and what stands around the text (a question, a second text) leaves at least an eighth of the model's length
free when more than one window is needed.
"""

from dataclasses import dataclass

from bigbird_inference.errors import InvalidInput

DEFAULT_STRIDE = 512
"""Tokens shared by neighbouring windows, or half of the room where that is less."""


@dataclass(frozen=True, slots=True)
class Slice:
    """A run of a text's tokens: `count` of them from `first` on."""

    first: int
    count: int


def window_capacity(max_length: int, surrounding: int, token_count: int, *, blame: str | None = None) -> int:
    """Return how many text tokens one window can hold.

    Args:
        max_length: The longest sequence that the model takes.
        surrounding: Tokens of every window that are not the text's: special tokens, question, second text.
        token_count: Tokens of the whole text.
        blame: The request's field that takes the room, if any.

    Raises:
        InvalidInput: The text does not fit into one window, and there is too little room for windows.
    """
    capacity = max_length - surrounding
    needed = min(token_count, _smallest_part(max_length))
    if capacity < needed:
        field = blame or "the text"
        raise InvalidInput(
            f"{field} is too long: with the special tokens it takes {surrounding} of the model's {max_length} tokens, "
            f"and at least {needed} must be left"
        )
    return capacity


def plan_windows(token_count: int, capacity: int, stride: int | None = None) -> list[Slice]:
    """Cut a text's tokens into windows; together they hold every token.

    Args:
        token_count: Tokens of the whole text.
        capacity: Text tokens that one window can hold, at least 1.
        stride: Tokens shared by neighbouring windows; None for the default.

    Returns:
        At least one slice, in the order of the text.

    Raises:
        InvalidInput: The stride is negative, or leaves less than an eighth of a window for new tokens.
    """
    if stride is None:
        stride = min(DEFAULT_STRIDE, capacity // 2)
    largest = capacity - _smallest_part(capacity)
    if not 0 <= stride <= largest:
        raise InvalidInput(
            f"window_stride is {stride}, but must be from 0 to {largest}: a window holds {capacity} tokens of this text"
        )
    slices = [Slice(0, min(token_count, capacity))]
    while slices[-1].first + slices[-1].count < token_count:
        first = slices[-1].first + capacity - stride
        slices.append(Slice(first, min(token_count - first, capacity)))
    return slices


def _smallest_part(length: int) -> int:
    """Return an eighth, rounded up."""
    return -(-length // 8)
