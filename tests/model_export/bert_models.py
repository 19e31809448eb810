"""Small BERTs of transformers, saved as checkpoints."""

import json
from pathlib import Path
from typing import Any

import transformers

from tests import tokenizer_files
from tests.model_export.reference_models import draw_weights

OWN_POSITIONS = 96
VOCABULARY = 400  # at least as many as `word_piece` has pieces
CLASSES = {
    "embed": transformers.BertModel,
    "qa": transformers.BertForQuestionAnswering,
    "classify": transformers.BertForSequenceClassification,
    "ner": transformers.BertForTokenClassification,
    "fill-mask": transformers.BertForMaskedLM,
    "next-sentence": transformers.BertForNextSentencePrediction,
    "multiple-choice": transformers.BertForMultipleChoice,
}
_NAMES = {
    "cls_token": "[CLS]",
    "sep_token": "[SEP]",
    "pad_token": "[PAD]",
    "unk_token": "[UNK]",
    "mask_token": "[MASK]",
}


def make_bert(task: str = "embed", **fields: Any) -> transformers.PreTrainedModel:
    """Return a small BERT whose attention is uneven and whose outputs are well spread."""
    own = {"num_labels": 3} if task in ("classify", "ner") else {}
    config = transformers.BertConfig(
        **{
            "vocab_size": VOCABULARY,
            "hidden_size": 64,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 96,
            "max_position_embeddings": OWN_POSITIONS,
            **own,
            **fields,
        }
    )
    model = CLASSES[task](config).eval()
    draw_weights(model)
    return model


def save_bert(model: transformers.PreTrainedModel, folder: Path, **fields: Any) -> Path:
    """Save a model with a vocabulary beside it; keywords replace fields of its configuration."""
    model.save_pretrained(folder)
    tokenizer_files.save(tokenizer_files.word_piece(), folder, **_NAMES)
    config = folder / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | fields))
    return folder
