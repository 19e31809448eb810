"""The outputs of a model in training for many inputs, in the form in which the service's tasks decode them."""

from collections.abc import Sequence

import numpy as np
import torch

from bigbird_inference.tasks.base import Outputs
from finetuning.batch import pad, uses_full_attention
from finetuning.rows import Row
from model_export.nn.model import BigBird


def model_outputs(model: BigBird, rows: Sequence[Row], rows_at_once: int, device: torch.device) -> list[Outputs]:
    """Run the model on rows, neighbours in length together.

    Args:
        model: In evaluation mode.
        rows: The inputs.
        rows_at_once: How many are computed at once.
        device: Where the model is.

    Returns:
        For each row, in the same order, its logits, cut to the row's length where they are of tokens.
    """
    logits: list[Outputs | None] = [None] * len(rows)
    order = sorted(range(len(rows)), key=lambda index: len(rows[index]))
    for full in (True, False):
        kind = [index for index in order if uses_full_attention(len(rows[index]), model.config) == full]
        for first in range(0, len(kind), rows_at_once):
            group = kind[first : first + rows_at_once]
            batch = pad([rows[index] for index in group], model.config).to(device)
            values = model(*batch.inputs).float().cpu().numpy()
            for index, own in zip(group, values, strict=True):
                logits[index] = {"logits": own[: len(rows[index])] if own.ndim == 2 else np.asarray(own)}
    return [own for own in logits if own is not None]
