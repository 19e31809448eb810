"""Which bucket a sequence runs in: the smallest padded length that holds it.

Attention kinds never mix. An exported model with block-sparse buckets has one at the full-attention edge, so every
sequence up to the edge finds a full bucket first and every longer one a block-sparse bucket; where the scheduler moves
a sequence to a longer bucket, that one is of the same kind. Loading refuses a bundle whose buckets are not ordered that
way (`bigbird_inference.runtime.graph_sessions`).

While a model is exchanged, an old and a new version of it are served side by side, each with buckets, queues and costs
of its own: a request stays with the version that encoded it.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, NamedTuple

from bigbird_inference.runtime.session import Session


class ModelVersion(NamedTuple):
    """A model as it was loaded once; each time that it is loaded again makes another version."""

    model: str
    version: int = 1


class BucketKey(NamedTuple):
    """Model, padded length and version, which no other bucket has."""

    model: str
    length: int
    version: int = 1


@dataclass(frozen=True, slots=True)
class ServedBucket:
    """One bucket of a loaded model, ready to run.

    Attributes:
        model: Name of the model.
        length: Padded length in tokens.
        session: What runs the graph of its kind of attention, on the first device.
        pad_id: Token id that fills up shorter sequences.
        takes_positions: Whether the graph is told where to predict tokens.
        attention: The graph's kind of attention; a sequence never changes it.
        position_bytes: Size of the outputs at one position, where the graph is told positions.
        max_items: Most sequences in one batch, whatever the device could run; None for no bound.
        replicas: What runs the same graph on the further devices, in their order.
        version: Which version of the model it belongs to.
        key: What no other bucket has.
    """

    model: str
    length: int
    session: Session
    pad_id: int
    takes_positions: bool = False
    attention: Literal["full", "block_sparse"] = "full"
    position_bytes: int = 0
    max_items: int | None = None
    replicas: tuple[Session, ...] = ()
    version: int = 1
    key: BucketKey = field(init=False)

    def __post_init__(self) -> None:
        # Every prediction of the cost model asks for it, a dozen for each request.
        object.__setattr__(self, "key", BucketKey(self.model, self.length, self.version))

    @property
    def model_version(self) -> ModelVersion:
        """The model that it belongs to, as it was loaded."""
        return ModelVersion(self.model, self.version)

    def on(self, device: int) -> "ServedBucket":
        """Return the bucket with the session of a device by its number; 0 is the first."""
        return self if device == 0 else replace(self, session=self.replicas[device - 1], replicas=())


def smallest_bucket(lengths: Sequence[int], length: int) -> int:
    """Return the smallest of the ascending bucket lengths that holds a sequence of `length` tokens.

    Raises:
        ValueError: The sequence is empty or longer than every bucket; windows are cut so that this cannot happen.
    """
    position = bisect_left(lengths, length)
    if length < 1 or position == len(lengths):
        raise ValueError(f"a sequence of {length} tokens fits none of the buckets {list(lengths)}")
    return lengths[position]
