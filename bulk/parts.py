"""The stream of items in parts: as much as is held in memory at once, encoded, and to be answered before the next.

Within a part there is no order that matters to the answers, so its windows can be sorted into buckets. It is large
enough that batches are full, and small enough that its tokens take some tens of megabytes, whatever there is to read.
A row about which so much is asked that it is more than a part comes in pieces, of which the last one ends with it.
"""

from collections.abc import Iterator, Set
from dataclasses import dataclass, field
from typing import Any

from bigbird_inference.errors import ServiceError
from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.base import EncodedRequest, Task
from bulk.requests import Item, ItemKey, RequestMaker
from bulk.sources.rows import Position, SourceRow

_TOKENS = 2**20
_ITEMS = 2**14
# Outputs of windows that wait for others of the same text: hidden states of a base model take 3 kB for each token.
_WAITING_BYTES = 256 * 2**20


@dataclass(frozen=True, slots=True)
class EncodedItem:
    """An item on its way to the model.

    Attributes:
        item: What was asked.
        encoded: Its windows; None if it cannot be asked.
        problem: Why not.
    """

    item: Item
    encoded: EncodedRequest[Any] | None
    problem: str | None = None


@dataclass(slots=True)
class Part:
    """Items that are answered together.

    Attributes:
        items: Those that are not answered yet.
        after: Where the next part begins; None for a piece of a row, which the next part goes on with.
        rows: Rows that it has.
        bytes: What they take of the inputs.
        tokens: Of all windows.
    """

    items: list[EncodedItem] = field(default_factory=list)
    after: Position | None = None
    rows: int = 0
    bytes: int = 0
    tokens: int = 0


def encoded_parts(
    rows: Iterator[SourceRow], maker: RequestMaker, task: Task[Any, Any], manifest: Manifest, answered: Set[ItemKey]
) -> Iterator[Part]:
    """Yield all rows in parts.

    Args:
        rows: From where the job goes on.
        maker: Makes their items.
        task: Encodes them.
        manifest: Of the model.
        answered: Items that need not be encoded any more; a part without them is longer, so it holds all of one that
            was begun before.
    """
    held_bytes = sum(4 * _width(tensor.shape) for tensor in manifest.outputs if "length" in tensor.shape)
    part, waiting = Part(), 0
    for row in rows:
        encode = task.encoder()
        for item in maker.items(row):
            if item.key in answered:
                continue
            if _is_full(part, waiting):
                yield Part(part.items, tokens=part.tokens)
                part, waiting = Part(rows=part.rows, bytes=part.bytes), 0
            own = _encode(item, encode)
            part.items.append(own)
            if own.encoded is not None:
                tokens = sum(len(window.sequence) for window in own.encoded.windows)
                part.tokens += tokens
                waiting += tokens * held_bytes if len(own.encoded.windows) > 1 else 0
        part.after = row.after
        part.rows += 1
        part.bytes += row.bytes
        if _is_full(part, waiting):
            yield part
            part, waiting = Part(), 0
    if part.rows:
        yield part


def _is_full(part: Part, waiting: int) -> bool:
    return part.tokens >= _TOKENS or len(part.items) >= _ITEMS or waiting >= _WAITING_BYTES


def _encode(item: Item, encode: Any) -> EncodedItem:
    if item.request is None:
        return EncodedItem(item, None, item.problem)
    try:
        return EncodedItem(item, encode(item.request))
    except ServiceError as error:
        return EncodedItem(item, None, error.detail)
    except Exception as error:  # one bad row never ends a job
        return EncodedItem(item, None, f"it could not be encoded: {type(error).__name__}: {error}")


def _width(shape: list[int | str]) -> int:
    width = 1
    for axis in shape:
        width *= axis if isinstance(axis, int) else 1
    return width
