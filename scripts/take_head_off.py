"""Write the encoder of a checkpoint as a checkpoint without a task head: what pre-training leaves."""

import argparse
from pathlib import Path

from model_export.checkpoints.huggingface import SENTENCEPIECE_FILE, save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.patterns.registry import get_pattern

parser = argparse.ArgumentParser(description=__doc__)
parser.add_argument("checkpoint", type=Path)
parser.add_argument("output", type=Path)
arguments = parser.parse_args()

checkpoint = read_checkpoint(arguments.checkpoint, "embed")
model, left_out = checkpoint.load_model(get_pattern(checkpoint.default_pattern))
arguments.output.mkdir(parents=True, exist_ok=True)
save_checkpoint(model, "embed", arguments.output, pattern=checkpoint.default_pattern)
(arguments.output / SENTENCEPIECE_FILE).write_bytes(checkpoint.tokenizer)
print(f"{arguments.output}: {sum(weight.numel() for weight in model.parameters())} weights; left out: {len(left_out)}")
