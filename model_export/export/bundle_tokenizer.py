"""The tokenizer of a bundle, of whichever kind the checkpoint's is."""

from collections.abc import Callable
from pathlib import Path

from bigbird_inference.manifest import TOKENIZER_FILES, TokenizerKind
from model_export.checkpoints.checkpoint import Checkpoint
from model_export.export.tokenizer import SpecialIds, write_tokenizer
from model_export.export.tokenizer_json import write_tokenizer_json

_WRITERS: dict[TokenizerKind, Callable[..., SpecialIds]] = {
    "sentencepiece": write_tokenizer,
    "tokenizers": write_tokenizer_json,
}


def write_bundle_tokenizer(checkpoint: Checkpoint, folder: Path) -> tuple[Path, SpecialIds]:
    """Write a checkpoint's tokenizer so that no text calls up a special token.

    Args:
        checkpoint: The checkpoint.
        folder: The bundle.

    Returns:
        The file, and the ids that are added around texts.

    Raises:
        CheckpointError: The tokenizer cannot be used, or does not fit the model.
    """
    file = folder / TOKENIZER_FILES[checkpoint.tokenizer_kind]
    write = _WRITERS[checkpoint.tokenizer_kind]
    vocab_size = checkpoint.config.vocab_size
    return file, write(checkpoint.tokenizer, checkpoint.files[-1], file, checkpoint.special_tokens, vocab_size)
