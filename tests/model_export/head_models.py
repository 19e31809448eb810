"""Small transformers models with each head, saved with the vocabulary of the demo checkpoints.

The tests of their logits and those of their answers over HTTP have the same configurations, so that each graph is
traced once (`shared_traces`).
"""

import shutil
from pathlib import Path
from typing import Any

import sentencepiece
import transformers

from tests.model_export.reference_models import make_config, make_model

VOCABULARY = Path(__file__).resolve().parents[2] / "examples" / "checkpoints" / "demo-qa" / "spiece.model"


def make_head(task: str, head_gain: float = 3.0, **fields: Any) -> transformers.PreTrainedModel:
    """Return a model with three labels, whose full attention reaches 112 tokens; keywords replace fields."""
    pieces = sentencepiece.SentencePieceProcessor(model_file=str(VOCABULARY))
    own = {
        "id2label": {0: "O", 1: "B-PER", 2: "I-PER"},
        "is_decoder": task == "generate",
        "eos_token_id": pieces.piece_to_id("[SEP]"),
    }
    return make_model(task, make_config(pieces.get_piece_size(), **{**own, **fields}), head_gain=head_gain)


def save_head(model: transformers.PreTrainedModel, folder: Path) -> Path:
    """Save a model with the vocabulary beside it."""
    model.save_pretrained(folder)
    shutil.copy(VOCABULARY, folder)
    return folder
