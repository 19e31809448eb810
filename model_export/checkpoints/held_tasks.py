"""Which tasks a checkpoint has a head for, told by the names of its tensors, where its configuration does not tell."""

from collections.abc import Callable, Mapping

import torch

from model_export.checkpoints.source_tensors import SourceTensor
from model_export.config import BigBirdConfig
from model_export.nn.heads import HEADS

# A linear map called `classifier` labels tokens, scores a choice, or labels pooled texts in a class of somebody's own.
UNMISTAKABLE = ("qa", "classify", "fill-mask", "generate")
"""Tasks whose heads no other class of the source has: all of their tensors are there, so it is one of those."""


def held_tasks(
    names_of: Callable[[str], Mapping[str, SourceTensor]], tensors: Mapping[str, torch.Tensor], config: BigBirdConfig
) -> list[str]:
    """Return the tasks whose head is among the tensors.

    Every checkpoint can embed; that is not a head, and left out.

    Args:
        names_of: Where each tensor of our model stands, for a task.
        tensors: The checkpoint's.
        config: Says whether it generates.
    """
    return [
        task
        for task in HEADS
        if task != "embed" and (task == "generate") == config.is_decoder and _has_head(task, names_of(task), tensors)
    ]


def _has_head(task: str, names: Mapping[str, SourceTensor], tensors: Mapping[str, torch.Tensor]) -> bool:
    # Biases are left to the strict load: tied ones go by several names.
    matrices = [source for own, source in names.items() if own.startswith("head.") and own.endswith(".weight")]
    if any(source.name not in tensors for source in matrices):
        return False
    if task != "multiple-choice":
        return True
    output = names["head.output.weight"]
    return output.arranged(tensors[output.name]).shape[:1] == (1,)
