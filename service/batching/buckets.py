"""Which bucket a sequence runs in: the smallest padded length that holds it.

Attention kinds never mix, and nothing has to be done for that here: an exported model always has a bucket at the
full-attention edge, so every sequence up to the edge finds a full bucket first and every longer one a block-sparse
bucket. Loading refuses a bundle whose buckets are not ordered that way (`service.runtime.session_pool`).
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from service.runtime.session import Session


@dataclass(frozen=True, slots=True)
class ServedBucket:
    """One bucket of a loaded model, ready to run.

    Attributes:
        model: Name of the model.
        length: Padded length in tokens.
        session: What runs the bucket's graph.
        pad_id: Token id that fills up shorter sequences.
    """

    model: str
    length: int
    session: Session
    pad_id: int


def smallest_bucket(lengths: Sequence[int], length: int) -> int:
    """Return the smallest of the ascending bucket lengths that holds a sequence of `length` tokens.

    Raises:
        ValueError: The sequence is empty or longer than every bucket; windows are cut so that this cannot happen.
    """
    position = bisect_left(lengths, length)
    if length < 1 or position == len(lengths):
        raise ValueError(f"a sequence of {length} tokens fits none of the buckets {list(lengths)}")
    return lengths[position]
