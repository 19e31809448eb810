"""The SentencePiece model beside a TensorFlow checkpoint: `spiece.model`, or the only file that is called `*.model`."""

from pathlib import Path

from model_export.checkpoints.files import optional_file, regular_file
from model_export.errors import CheckpointError

SENTENCEPIECE_FILE = "spiece.model"
SPECIAL_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
"""Pieces of the released vocabulary; the TensorFlow worlds write down no others."""


def find_vocabulary(folder: Path) -> Path:
    """Return the SentencePiece model of a folder.

    Raises:
        CheckpointError: There is none, or several and none is called `spiece.model`.
    """
    usual = optional_file(folder, SENTENCEPIECE_FILE)
    if usual is not None:
        return usual
    names = sorted(entry.name for entry in folder.iterdir() if entry.suffix == ".model")
    if not names:
        raise CheckpointError(
            f"{folder / SENTENCEPIECE_FILE}: missing; put the model's SentencePiece vocabulary beside the checkpoint"
        )
    if len(names) > 1:
        raise CheckpointError(
            f"{folder}: {', '.join(map(repr, names))}: call the one that is the vocabulary {SENTENCEPIECE_FILE}"
        )
    return regular_file(folder, names[0])
