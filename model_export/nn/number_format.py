"""The step between the formats of a model in half precision (see `precision`); in float32 there is none."""

import torch


def in_format_of(weight: torch.Tensor, states: torch.Tensor) -> torch.Tensor:
    """Return the states in the type of the weight that they meet; the same tensor where they have it."""
    return states if states.dtype == weight.dtype else states.to(weight.dtype)
