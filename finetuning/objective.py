"""The interface between the trainer and what is to be learned."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import torch

from finetuning.position import Position
from model_export.nn.model import BigBird

ShownT = TypeVar("ShownT", contravariant=True)
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


class Objective(Protocol[ShownT, PartT]):
    """A task's examples, its loss and its measure."""

    def parts(self, shown: ShownT, position: Position) -> Sequence[PartT]:
        """Draw the batch of one step, in parts that are computed one after the other (gradient accumulation).

        It depends on its arguments alone, and is called in a thread of its own, one step ahead.
        """
        ...

    def loss(self, model: BigBird, part: PartT) -> torch.Tensor:
        """Compute a part's share in the loss of its step; the shares of all parts add up to it."""
        ...

    def measure(self, model: BigBird, shown: ShownT) -> Measured:
        """Measure the model, which is in evaluation mode."""
        ...
