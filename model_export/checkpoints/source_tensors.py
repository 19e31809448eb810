"""Put a checkpoint's tensors into a model: every key used or reported, every shape checked, all mismatches at once.

`SourceTensor`, the entry of every weight-name table, says where one of our tensors is in a source, and how it is stored
there.
"""

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import nn

from model_export.errors import CheckpointError, MisfitError, first_few

Layout = Literal["same", "transposed", "heads_out", "heads_in", "flat"]


@dataclass(frozen=True, slots=True)
class SourceTensor:
    """One entry of a table.

    Attributes:
        name: The tensor's name in the source.
        layout: `same` as ours; `transposed`: a matrix `[in, out]`; `heads_out`: `[in, heads, head_dim]`; `heads_in`:
            `[heads, head_dim, out]` (both also with the heads merged); `flat`: any shape whose elements in order are
            ours.
        tied_to: Name of the tensor that is the same one in the model; it is read where this one is not there.
    """

    name: str
    layout: Layout = "same"
    tied_to: str | None = None

    def found(self, names: Collection[str]) -> "SourceTensor":
        """Return the entry for the names that there are: under the name of the tied tensor where only that is there."""
        if self.tied_to is not None and self.name not in names and self.tied_to in names:
            return replace(self, name=self.tied_to)
        return self

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


@dataclass(frozen=True, slots=True)
class StoredTensors:
    """A checkpoint's tensors under the names that its source's table has.

    Attributes:
        tensors: By name.
        changes: What was renamed, merged or left out on the way, a line each.
    """

    tensors: dict[str, torch.Tensor]
    changes: tuple[str, ...] = ()


def load_strictly(
    model: nn.Module,
    tensors: Mapping[str, torch.Tensor],
    names: Mapping[str, SourceTensor],
    ignorable: tuple[str, ...],
) -> list[str]:
    """Load the tensors into the model, converted to float32.

    Args:
        model: Takes the weights; it may be on the meta device.
        tensors: The checkpoint's tensors by their names there.
        names: For each of the model's tensors, where it stands in the checkpoint.
        ignorable: Prefixes of tensors that a model may leave unused; a prefix under which it uses some does not count.

    Returns:
        Names of the tensors that were left unused.

    Raises:
        MisfitError: Tensors are missing, unexpected or of another shape; the message lists them, of each kind the first
            ones.
        CheckpointError: Some hold NaN or infinity; the message names them.
    """
    own = model.state_dict()
    if own.keys() != names.keys():
        raise AssertionError(f"weight names and model differ: {sorted(own.keys() ^ names.keys())}")
    used = [source.name for source in names.values()]
    unused = sorted(tensors.keys() - set(used))
    idle = tuple(prefix for prefix in ignorable if not any(name.startswith(prefix) for name in used))
    arranged = {key: source.arranged(tensors[source.name]) for key, source in names.items() if source.name in tensors}
    _check_fit(own, tensors, names, arranged, [name for name in unused if not name.startswith(idle)])
    loaded = {key: tensor.float().contiguous() for key, tensor in arranged.items()}
    not_finite = [f"{names[key].name}: {count}" for key, tensor in loaded.items() if (count := _not_finite(tensor))]
    if not_finite:
        raise CheckpointError(
            f"weights that are not finite numbers: {', '.join(first_few(not_finite))}; the training diverged or the "
            "file is damaged, take an earlier checkpoint"
        )
    model.load_state_dict(loaded, assign=True)
    return unused


def _check_fit(
    own: Mapping[str, torch.Tensor],
    tensors: Mapping[str, torch.Tensor],
    names: Mapping[str, SourceTensor],
    arranged: Mapping[str, torch.Tensor],
    unexpected: Sequence[str],
) -> None:
    """Compare the model's tensors with those that were found for them, `arranged` as they lie in it."""
    missing = {source.name: f" {list(own[key].shape)}" for key, source in names.items() if key not in arranged}
    shape = {
        names[key].name: f" is {list(tensors[names[key].name].shape)}, expected {_expected(names[key], own[key])}"
        for key, tensor in arranged.items()
        if tensor.shape != own[key].shape
    }
    kind = {
        names[key].name: f" is {tensor.dtype}" for key, tensor in arranged.items() if not tensor.is_floating_point()
    }
    problems = {
        "missing": missing,
        "unexpected": dict.fromkeys(unexpected, ""),
        "shape": shape,
        "not floating point": kind,
    }
    if not any(problems.values()):
        return
    lines = [
        f"\n  {what}: {problem}"
        for what, found in problems.items()
        for problem in first_few([f"{name}{how}" for name, how in found.items()])
    ]
    if unexpected:
        lines.append("\n  leave out what the answers do not need with `bigbird export --ignore-weights PATTERN`")
    concerned = frozenset(missing) | frozenset(shape) | frozenset(kind)
    raise MisfitError(f"the weights do not fit the configuration:{''.join(lines)}", concerned)


def _not_finite(tensor: torch.Tensor) -> str | None:
    """Return how many elements are NaN or infinite; None if none is."""
    # One pass without a copy: NaN and infinities show in the extremes.
    if tensor.numel() == 0 or all(map(math.isfinite, map(float, torch.aminmax(tensor)))):
        return None
    return f"{int((~torch.isfinite(tensor)).sum())} of {tensor.numel()} elements"


def _expected(source: SourceTensor, own: torch.Tensor) -> str:
    """Describe the shape that the source's tensor should have."""
    shape = list(own.shape)
    match source.layout:
        case "transposed":
            return str(shape[::-1])
        case "heads_out":
            return f"[{shape[1]}, heads, head_dim] with {shape[0]} in all heads"
        case "heads_in":
            return f"[heads, head_dim, {shape[0]}] with {shape[1]} in all heads"
        case "same" | "flat":
            return str(shape)
