"""From the rows of a file to the batches of a training.

Rows are model inputs, kept small because a whole file of them is kept. A step takes the rows that its position in the
training names: every row once in an epoch, neighbours in length together. They are padded on the right to whole blocks,
as the encoder takes them, and drawn one step ahead, in a thread, while the step before is computed.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from types import TracebackType
from typing import Generic, Self, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from bigbird_inference.tokenization.encoded import EncodedSequence, Int64Array
from finetuning.plan import Position
from model_export.config import BigBirdConfig

Int32Array = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Row:
    """One model input, not padded.

    Attributes:
        ids: Token ids with the special ones, int32 `[length]`.
        types: Token types, uint8 `[length]`.
    """

    ids: Int32Array
    types: npt.NDArray[np.uint8]

    def __len__(self) -> int:
        return len(self.ids)


def row_of(sequence: EncodedSequence) -> Row:
    """Return a sequence as the service makes it in the form in which it is kept."""
    return Row(sequence.input_ids.astype(np.int32), sequence.token_type_ids.astype(np.uint8))


# Rows are sorted by length within so many steps: longer pools waste less, shorter ones mix better.
_STEPS_IN_POOL = 50


class StepRows:
    """The rows of every step of a training, as indices into a file's rows."""

    def __init__(self, lengths: Sequence[int], rows_per_step: int, seed: int) -> None:
        """Prepare the order.

        Args:
            lengths: Of each row, padded.
            rows_per_step: How many rows a step shows; the last step of an epoch may show fewer.
            seed: Determines the order.
        """
        self.steps_per_epoch = -(-len(lengths) // rows_per_step)
        self._lengths = np.asarray(lengths, dtype=np.int64)
        self._rows_per_step = rows_per_step
        self._seed = seed
        self._epoch = lru_cache(maxsize=2)(self._drawn_epoch)

    def of_step(self, number: int) -> Int64Array:
        """Return the rows of a step, the shortest first."""
        epoch, step = divmod(number, self.steps_per_epoch)
        return self._epoch(epoch)[step]

    def _drawn_epoch(self, epoch: int) -> list[Int64Array]:
        generator = np.random.default_rng([self._seed, epoch])
        order = generator.permutation(len(self._lengths))
        steps = [
            step for pool in _cut(order, self._rows_per_step * _STEPS_IN_POOL) for step in self._sorted_steps(pool)
        ]
        return [steps[index] for index in generator.permutation(len(steps))]

    def _sorted_steps(self, pool: Int64Array) -> Iterator[Int64Array]:
        return _cut(pool[np.argsort(self._lengths[pool], kind="stable")], self._rows_per_step)


def _cut(rows: Int64Array, size: int) -> Iterator[Int64Array]:
    for first in range(0, len(rows), size):
        yield rows[first : first + size]


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded inputs.

    Attributes:
        input_ids: int64 `[rows, length]`.
        attention_mask: int64 `[rows, length]`, 1 on real tokens.
        token_type_ids: int64 `[rows, length]`.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor

    def to(self, device: torch.device) -> "Batch":
        """Return the batch on a device."""
        return Batch(self.input_ids.to(device), self.attention_mask.to(device), self.token_type_ids.to(device))

    @property
    def inputs(self) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """What the model takes, in its order."""
        return self.input_ids, self.attention_mask, self.token_type_ids


def padded_length(length: int, config: BigBirdConfig) -> int:
    """Return the length to which a row is padded: whole blocks, within the model's positions."""
    blocks = -(-length // config.block_size)
    return min(blocks * config.block_size, config.max_length)


def pad(rows: Sequence[Row], config: BigBirdConfig) -> Batch:
    """Pad rows to the longest of them."""
    length = padded_length(max(len(row) for row in rows), config)
    ids = np.full((len(rows), length), config.pad_token_id, dtype=np.int64)
    mask, types = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(2))
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row.ids
        mask[index, : len(row)] = 1
        types[index, : len(row)] = row.types
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types))


def uses_full_attention(length: int, config: BigBirdConfig) -> bool:
    """Tell whether a row of so many tokens uses full attention; a batch must not mix the two kinds."""
    return padded_length(length, config) <= config.full_attention_edge


PartT = TypeVar("PartT")


class DrawnAhead(Generic[PartT]):
    """Calls a drawing function, which depends on the position alone, before its result is needed."""

    def __init__(self, draw: Callable[[Position], Sequence[PartT]]) -> None:
        self._draw = draw
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="batches")
        self._next: tuple[tuple[int, int], Future[Sequence[PartT]]] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._executor.shutdown(cancel_futures=True)

    def take(self, position: Position, following: Position | None) -> Sequence[PartT]:
        """Return the batch at a position.

        Args:
            position: Where the training stands.
            following: Where it will stand next, if nothing unforeseen happens; None at the end.
        """
        drawn = self._next
        if drawn is not None and drawn[0] == _key(position):
            parts = drawn[1].result()
        else:
            parts = self._executor.submit(self._draw, position).result()
        self._next = None
        if following is not None:
            self._next = (_key(following), self._executor.submit(self._draw, following))
        return parts


def _key(position: Position) -> tuple[int, int]:
    return position.stage, position.total_steps
