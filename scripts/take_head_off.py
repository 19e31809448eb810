"""Write the encoder of a checkpoint as a checkpoint without a task head: what pre-training leaves."""

import argparse
from pathlib import Path

from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.huggingface import save_checkpoint, save_tokenizer
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", type=Path)
parser.add_argument("output", type=Path)
arguments = parser.parse_args()

checkpoint = read_checkpoint(arguments.checkpoint, CheckpointOptions("embed"))
loaded = checkpoint.load(get_pattern(checkpoint.default_pattern))
arguments.output.mkdir(parents=True, exist_ok=True)
save_checkpoint(loaded.model, "embed", arguments.output, pattern=checkpoint.default_pattern)
save_tokenizer(checkpoint, arguments.output)
weights = sum(weight.numel() for weight in loaded.model.parameters())
print(f"{arguments.output}: {weights} weights; left out: {len(loaded.unused)}")
