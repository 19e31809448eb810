"""Where one of our tensors stands in a source, and how it lies there: the entry of every weight-name table."""

from dataclasses import dataclass
from typing import Literal

import torch

Layout = Literal["same", "transposed", "heads_out", "heads_in", "flat"]


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """One entry of a table.

    Attributes:
        name: The tensor's name in the source.
        layout: `same` as ours; `transposed`: a matrix `[in, out]`; `heads_out`: `[in, heads, head_dim]`; `heads_in`:
            `[heads, head_dim, out]` (both also with the heads merged); `flat`: any shape whose elements in order are
            ours.
    """

    name: str
    layout: Layout = "same"

    def arranged(self, tensor: torch.Tensor) -> torch.Tensor:
        """Return the source's tensor as ours lies; one of an unexpected rank is returned as it is."""
        match self.layout, tensor.ndim:
            case "transposed", 2:
                return tensor.T
            case "heads_out", 2 | 3:
                return tensor.flatten(1).T
            case "heads_in", 2 | 3:
                return tensor.reshape(-1, tensor.shape[-1]).T
            case "flat", _:
                return tensor.flatten()
            case _:
                return tensor
