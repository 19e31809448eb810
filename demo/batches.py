"""Batches of generated examples, each a function of its number alone.

Training that stops and is resumed at batch 3,000 therefore sees exactly what it would have seen without the stop, and
no state of a data loader has to be saved.
"""

import random
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import torch

from bigbird_inference.tokenization.encoded import Int64Array
from demo.reports import FIRST_EVALUATION_SEED, Report, generate_report
from demo.tokens import Inputs

FIRST_VALIDATION_SEED = 900_000_000
_REPORTS_PER_BATCH = 4096


@dataclass(frozen=True, slots=True)
class Lengths:
    """Which reports a batch may hold.

    Attributes:
        shortest: The least number of tokens of a report, about.
        longest: The greatest.
        subjects: About how many subjects facts are stated; None lets the length decide.
        unanswered: The share of questions without an answer.
        windows: How many texts a question is asked of at once, one of them the report; they are decoded together like
            the windows of one long document.
        share: The share of a whole batch's tokens that a batch of these has.
    """

    shortest: int
    longest: int
    subjects: int | None = None
    unanswered: float = 0.25
    windows: int = 1
    share: float = 1.0

    def __str__(self) -> str:
        tokens = f"{self.shortest}-{self.longest}" if self.shortest < self.longest else f"{self.shortest}"
        return tokens if self.windows == 1 else f"{self.windows} x {tokens}"


@dataclass(frozen=True, slots=True)
class Batch:
    """Padded inputs on whole blocks.

    Attributes:
        input_ids: int64 `[batch, length]`.
        attention_mask: int64 `[batch, length]`, 1 on real tokens.
        token_type_ids: int64 `[batch, length]`.
    """

    input_ids: torch.Tensor
    attention_mask: torch.Tensor
    token_type_ids: torch.Tensor


def rows_within(tokens: int, inputs: Inputs, block_size: int) -> int:
    """Tells how many rows like ``inputs`` make a batch of about ``tokens`` tokens."""
    return max(1, tokens // (-(-len(inputs) // block_size) * block_size))


def pad(inputs: Iterable[Inputs], block_size: int) -> Batch:
    """Pad inputs on the right to the next whole block of the longest."""
    rows = list(inputs)
    length = -(-max(len(row) for row in rows) // block_size) * block_size
    ids, mask, types = (np.zeros((len(rows), length), dtype=np.int64) for _ in range(3))
    for index, row in enumerate(rows):
        ids[index, : len(row)] = row.sequence.input_ids
        mask[index, : len(row)] = 1
        types[index, : len(row)] = row.sequence.token_type_ids
    return Batch(torch.from_numpy(ids), torch.from_numpy(mask), torch.from_numpy(types))


def padded_targets(batch: Batch, values: Iterable[tuple[int, Int64Array]], fill: int) -> torch.Tensor:
    """Lays per-token values, each with the position of its first token, over the shape of a batch."""
    targets = np.full(tuple(batch.input_ids.shape), fill, dtype=np.int64)
    for index, (offset, row) in enumerate(values):
        targets[index, offset : offset + len(row)] = row
    return torch.from_numpy(targets)


def reports_of_batch(number: int, lengths: Lengths, first_seed: int) -> Iterator[Report]:
    """Yield the reports of a batch, all about equally long, without end.

    Args:
        number: The batch's number; batches of different numbers share no report.
        lengths: Which reports are wanted.
        first_seed: Where the seeds of batch 0 start.
    """
    seed = first_seed + number * _REPORTS_PER_BATCH
    last_seed = seed + _REPORTS_PER_BATCH
    if last_seed > FIRST_EVALUATION_SEED or first_seed < FIRST_VALIDATION_SEED < last_seed:
        raise ValueError(f"batch {number} from seed {first_seed} would run into seeds that are kept for evaluation")
    tokens = random.Random(f"length/{seed}").randint(lengths.shortest, lengths.longest)
    for offset in range(_REPORTS_PER_BATCH):
        yield generate_report(seed + offset, tokens, subjects=lengths.subjects)


def position_shift(number: int, period: int) -> int:
    """Draws how far the texts of a batch are moved."""
    return random.Random(f"shift/{number}").randrange(period)
