"""The tokenizer of a bundle, of whichever kind the checkpoint's is."""

from pathlib import Path

from bigbird_inference.manifest import TOKENIZER_FILES
from model_export.checkpoints.checkpoint import Checkpoint
from model_export.export.tokenizer import SpecialIds, write_tokenizer
from model_export.export.tokenizer_json import write_tokenizer_json


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
    tokenizer, vocab_size = checkpoint.tokenizer, checkpoint.config.vocab_size
    file = folder / TOKENIZER_FILES[tokenizer.kind]
    given = (tokenizer.content, tokenizer.file, file, tokenizer.special_tokens, vocab_size)
    if tokenizer.kind == "tokenizers":
        return file, write_tokenizer_json(*given)
    return file, write_tokenizer(*given, added_tokens=tokenizer.added_tokens, text_pieces=tokenizer.text_pieces)
