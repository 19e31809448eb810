"""Our own model asked about a document alone, as `reference_models.Reference` asks transformers'."""

import numpy as np
import numpy.typing as npt
import torch

from model_export.nn.model import BigBird
from tests.model_export.reference_models import Document


def logits_alone(model: BigBird, document: Document) -> npt.NDArray[np.float32]:
    """Return the logits of the exact document, padded to whole blocks within the model's positions."""
    config = model.config
    length = min(-(-len(document) // config.block_size) * config.block_size, config.max_length)
    inputs = torch.zeros(3, 1, length, dtype=torch.int64)
    inputs[0, 0, : len(document)] = torch.from_numpy(document.input_ids)
    inputs[1, 0, : len(document)] = 1
    inputs[2, 0, : len(document)] = torch.from_numpy(document.token_type_ids)
    with torch.inference_mode():
        logits: npt.NDArray[np.float32] = model(*inputs)[0].numpy()
    return logits[: len(document)] if logits.ndim == 2 else logits
