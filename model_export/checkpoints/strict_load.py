"""Put a checkpoint's tensors into a model: every key used or reported, every shape checked, all mismatches at once."""

from collections.abc import Mapping

import torch
from torch import nn

from model_export.errors import CheckpointError


def load_strictly(
    model: nn.Module, tensors: Mapping[str, torch.Tensor], names: Mapping[str, str], ignorable: tuple[str, ...]
) -> list[str]:
    """Load the tensors into the model, converted to float32.

    Args:
        model: Takes the weights.
        tensors: The checkpoint's tensors by their names there.
        names: For each of the model's tensors, its name in the checkpoint.
        ignorable: Prefixes of tensors that the model may leave unused.

    Returns:
        Names of the tensors that were left unused.

    Raises:
        CheckpointError: Tensors are missing, unexpected or of another shape; the message lists them all.
    """
    own = model.state_dict()
    if own.keys() != names.keys():
        raise AssertionError(f"weight names and model differ: {sorted(own.keys() ^ names.keys())}")
    unused = sorted(tensors.keys() - set(names.values()))
    problems = [f"missing: {name} {list(own[key].shape)}" for key, name in names.items() if name not in tensors]
    problems += [f"unexpected: {name}" for name in unused if not name.startswith(ignorable)]
    problems += [
        f"shape: {name} is {list(tensors[name].shape)}, expected {list(own[key].shape)}"
        for key, name in names.items()
        if name in tensors and tensors[name].shape != own[key].shape
    ]
    problems += [
        f"not floating point: {name} is {tensors[name].dtype}"
        for name in names.values()
        if name in tensors and not tensors[name].is_floating_point()
    ]
    if problems:
        raise CheckpointError("the weights do not fit the configuration:\n  " + "\n  ".join(problems))
    model.load_state_dict({key: tensors[name].float() for key, name in names.items()})
    return unused
