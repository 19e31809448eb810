"""Small checkpoints to fine-tune, with the tiny vocabulary of the reference models, and texts that it can spell."""

import random
from pathlib import Path
from typing import Any

import torch

from bigbird_inference.tokenization.tokenizer import Tokenizer
from finetuning.objective import Batching
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.export.tokenizer import write_tokenizer
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.reference_models import make_config, make_model

CPU = torch.device("cpu")
_NAMES = ("Alice", "Bob", "Carol", "Acme", "Borealis", "Paris", "New York")
WORDS = (*_NAMES, "project", "budget", "office", "leads", "works", "in", "finance", "euros", "the", "is")


def save_small_checkpoint(folder: Path, task: str = "embed", **fields: Any) -> Path:
    """Save a transformers model of 48 units with blocks of 16 tokens; full attention up to 112 of them."""
    config = make_config(**{"vocab_size": vocabulary_size(folder / "vocabulary"), **fields})
    return save_model(make_model(task, config), folder / "checkpoint")


def tokenizer_of(checkpoint: Path) -> Tokenizer:
    """Return the tokenizer that a bundle of the checkpoint would have."""
    source = read_checkpoint(checkpoint, CheckpointOptions("embed"))
    file = checkpoint.parent / "tokenizer.model"
    own = source.tokenizer
    ids = write_tokenizer(own.content, own.file, file, own.special_tokens, source.config.vocab_size)
    return Tokenizer(file, ids.cls, ids.sep, source.config.pad_token_id, ids.mask).load()


def load(checkpoint: Path, task: str, pattern: str = "transformers") -> BigBird:
    """Return our model of a checkpoint, in evaluation mode: no dropout."""
    return read_checkpoint(checkpoint, CheckpointOptions(task)).load(get_pattern(pattern)).model


def batching(rows: int = 4, parts: int = 1, *, seed: int = 1, fresh_blocks: bool = False) -> Batching:
    """Return how rows are put together on the CPU."""
    return Batching(rows, parts, seed, CPU, fresh_blocks=fresh_blocks)


def sentence(words: int, seed: int) -> str:
    """Return a text of so many words."""
    return " ".join(random.Random(seed).choices(WORDS, k=words))
