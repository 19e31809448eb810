"""The model that the GPU benchmark rehearses with on a CPU: the first two layers of a demo checkpoint."""

import shutil
from dataclasses import replace
from pathlib import Path

import torch

from benchmarks.base_checkpoint import ROOT, TASK
from benchmarks.cache import cached
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import SENTENCEPIECE_FILE
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern

DEMO = ROOT / "examples" / "checkpoints" / "demo-classify"
LAYERS = 2


def rehearsal_checkpoint() -> Path:
    """Return the folder of the checkpoint, in the layout of Hugging Face; the task is `classify`."""
    return cached("checkpoint-gpu-rehearsal", [Path(__file__), *sorted(DEMO.iterdir())], _write)


def _write(folder: Path) -> None:
    pattern = get_pattern("transformers")
    whole = read_checkpoint(DEMO, CheckpointOptions(TASK)).load(pattern).model
    short = build_model(replace(whole.config, num_hidden_layers=LAYERS), TASK, pattern)
    wanted = short.state_dict()
    with torch.no_grad():
        short.load_state_dict({name: value for name, value in whole.state_dict().items() if name in wanted})
    folder.mkdir()
    save_checkpoint(short, TASK, folder)
    shutil.copy(DEMO / SENTENCEPIECE_FILE, folder / SENTENCEPIECE_FILE)
