"""What is to be learned, as the trainer sees it, and what all tasks that learn from a file have in common."""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, Protocol, TypeVar

import numpy as np
import torch

from finetuning.batches import Batch, Row, StepRows, pad, padded_length, uses_full_attention
from finetuning.forward import fresh_blocks
from finetuning.plan import Position
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird
from model_export.patterns.pattern import RandomBlocks

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


SourceT = TypeVar("SourceT", contravariant=True)
PartT = TypeVar("PartT")


@dataclass(frozen=True, slots=True)
class Measured:
    """What a measurement found.

    Attributes:
        score: The higher the better: what ends stages, chooses the best weights and stops early.
        figures: Everything that is worth showing, by name.
    """

    score: float
    figures: Mapping[str, float] = field(default_factory=dict)


class Objective(Protocol[SourceT, PartT]):
    """A task's examples, its loss and its measure."""

    def parts(self, source: SourceT, position: Position) -> Sequence[PartT]:
        """Draw the batch of one step, in parts that are computed one after the other (gradient accumulation).

        It depends on its arguments alone, and is called in a thread of its own, one step ahead.
        """
        ...

    def loss(self, model: BigBird, part: PartT) -> torch.Tensor:
        """Compute a part's share in the loss of its step; the shares of all parts add up to it."""
        ...

    def measure(self, model: BigBird, source: SourceT) -> Measured:
        """Measure the model, which is in evaluation mode."""
        ...


RowT = TypeVar("RowT", bound=Row)
Targets = tuple[torch.Tensor, ...]


@dataclass(frozen=True, slots=True)
class Batching:
    """How rows are put together.

    Attributes:
        rows: Computed at once.
        parts: So many times that many rows make a step.
        seed: Determines which, and everything else that is drawn.
        device: Where the model is.
        fresh_blocks: Whether every step draws random blocks of its own.
    """

    rows: int
    parts: int
    seed: int
    device: torch.device
    fresh_blocks: bool = False


@dataclass(frozen=True, slots=True)
class Part:
    """What is computed at once.

    Attributes:
        batch: The inputs.
        targets: Whatever the task compares the model's output with.
        count: Targets in the whole step, over which the loss is the mean.
        random_blocks: Of this part alone; None leaves those of the model.
    """

    batch: Batch
    targets: Targets
    count: int
    random_blocks: list[RandomBlocks] | None


class FileObjective(ABC, Generic[RowT]):
    """A task that learns from rows.

    Attributes:
        score_name: What decides which weights are the best.
        notes: What is worth knowing of the files.
    """

    score_name: str
    notes: Sequence[Note] = ()

    def __init__(self, rows: Sequence[RowT], config: BigBirdConfig, batching: Batching) -> None:
        self.rows, self.config, self.batching = rows, config, batching
        lengths = [padded_length(len(row), config) for row in rows]
        self._steps = StepRows(lengths, batching.rows * batching.parts, batching.seed)

    @property
    def steps_per_epoch(self) -> int:
        """In so many steps every row comes up once."""
        return self._steps.steps_per_epoch

    def parts(self, source: None, position: Position) -> list[Part]:
        """Draw a step."""
        number = position.total_steps
        rows = self.drawn([self.rows[index] for index in self._steps.of_step(number)], number)
        count = sum(self.count(row) for row in rows)
        return [self._part(group, count, number, index) for index, group in enumerate(self._groups(rows))]

    def loss(self, model: BigBird, part: Part) -> torch.Tensor:
        """Compute a part's share in the loss of its step."""
        batch = part.batch.to(self.batching.device)
        targets = tuple(target.to(self.batching.device) for target in part.targets)
        if part.random_blocks is None:
            return self.summed_loss(model, batch, targets) / part.count
        own = model.encoder.random_blocks
        model.encoder.random_blocks = part.random_blocks
        try:
            return self.summed_loss(model, batch, targets) / part.count
        finally:
            model.encoder.random_blocks = own

    def drawn(self, rows: list[RowT], step: int) -> list[RowT]:
        """Return the rows of a step as they are in that step."""
        return rows

    def count(self, row: RowT) -> int:
        """Return how many targets a row has."""
        return 1

    @abstractmethod
    def targets(self, rows: Sequence[RowT], length: int) -> Targets:
        """Return the targets of rows that are padded to a length."""

    @abstractmethod
    def summed_loss(self, model: BigBird, batch: Batch, targets: Targets) -> torch.Tensor:
        """Compute the sum of the losses of all targets."""

    @abstractmethod
    def measure(self, model: BigBird, source: None) -> Measured:
        """Measure the model on the evaluation file."""

    def _groups(self, rows: Sequence[RowT]) -> Iterator[list[RowT]]:
        """Cut the rows of a step, shortest first, into parts of one kind of attention."""
        for full in (True, False):
            kind = [row for row in rows if uses_full_attention(len(row), self.config) == full]
            for first in range(0, len(kind), self.batching.rows):
                yield kind[first : first + self.batching.rows]

    def _part(self, rows: Sequence[RowT], count: int, step: int, index: int) -> Part:
        batch = pad(rows, self.config)
        blocks = None
        if self.batching.fresh_blocks and not uses_full_attention(len(rows[0]), self.config):
            generator = np.random.default_rng([self.batching.seed, step, index])
            size = self.config.block_size
            shortest, longest = (-(-number(len(row) for row in rows) // size) for number in (min, max))
            blocks = fresh_blocks(self.config, shortest, longest, generator)
        return Part(batch, self.targets(rows, batch.input_ids.shape[1]), count, blocks)
