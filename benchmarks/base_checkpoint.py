"""The base configuration with random weights, as a checkpoint and as bundles: what the benchmarks measure.

The released weights are not needed to measure speed and would have to be downloaded. The random ones are drawn so that
attention is uneven and the logits are well spread: between models that attend differently the logits then differ, and a
fast graph that computes something else is found out.
"""

import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor

from benchmarks.cache import cached
from bigbird_inference.manifest import Precision
from model_export.checkpoints.checkpoint_tokenizer import SENTENCEPIECE_FILE
from model_export.checkpoints.huggingface import save_checkpoint
from model_export.config import BigBirdConfig
from model_export.export.trace import AttentionChoice
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions

ROOT = Path(__file__).resolve().parents[1]
VOCABULARY = ROOT / "examples" / "checkpoints" / "demo-qa" / SENTENCEPIECE_FILE

TASK = "classify"
BASE_CONFIG = BigBirdConfig(labels=tuple(f"LABEL_{number}" for number in range(8)))
NINE_BUCKETS = (128, 256, 512, 704, 1024, 1536, 2048, 3072, 4096)
"""A coarse set; each of them is a default one.

The graphs take every length, and comparing each default bucket with torch would take longer than to measure all.
"""

# What decides the checkpoint's contents.
CHECKPOINT_SOURCES = (Path(__file__), VOCABULARY)

_SEED = 0
_CALIBRATION_TEXTS = 8
_CALIBRATION_PIECES = 2048
_ATTENTION_GAIN = 2.0
_EXPORTING = ("nn", "patterns", "export", "config.py", "pipeline.py")


def base_checkpoint(layers: int = BASE_CONFIG.num_hidden_layers, width: int = BASE_CONFIG.hidden_size) -> Path:
    """Return the folder of the checkpoint, in the layout of Hugging Face; the task is `classify`, with eight labels.

    Args:
        layers: Fewer than the base configuration's for what need not be exact.
        width: Of the hidden states, likewise; whole heads.
    """
    return cached(f"checkpoint-{_size(layers, width)}", CHECKPOINT_SOURCES, partial(_write_checkpoint, layers, width))


def base_bundle(
    precision: Precision = "fp32",
    buckets: Sequence[int] | None = None,
    layers: int = BASE_CONFIG.num_hidden_layers,
    attention: AttentionChoice | None = None,
    width: int = BASE_CONFIG.hidden_size,
) -> Path:
    """Return the folder of a bundle of the checkpoint; exported on the first call.

    In int8, its graphs for OpenVINO are calibrated, where those are made, on documents like those that are measured.

    Args:
        precision: Of the graphs.
        buckets: Padded lengths in tokens; the edge of full attention, 704, is always one of them. None for the default.
        layers: Of the checkpoint.
        attention: Its attention kernels; None for the precision's own.
        width: Of the checkpoint.
    """
    lengths = None if buckets is None else sorted({*buckets, BASE_CONFIG.full_attention_edge})
    calibration = random_texts() if precision == "int8" else ()
    options = ExportOptions(buckets=lengths, precision=precision, attention=attention, calibration=calibration)

    def export(folder: Path) -> None:
        export_checkpoint(base_checkpoint(layers, width), folder, options, name="base")

    kernels = f"-{attention}" if attention else ""
    name = f"base-{_size(layers, width)}-{precision}{kernels}-{'-'.join(map(str, lengths)) if lengths else 'default'}"
    return cached(name, [*CHECKPOINT_SOURCES, *_exporting_code()], export)


def random_texts() -> tuple[str, ...]:
    """Return texts of random pieces: with random weights, and random documents to run, no others are like them."""
    vocabulary = SentencePieceProcessor(model_file=str(VOCABULARY))
    generator = np.random.default_rng(_SEED)
    plain = [number for number in range(len(vocabulary)) if vocabulary.id_to_piece(number)[-1].isalpha()]
    chosen = generator.choice(plain, (_CALIBRATION_TEXTS, _CALIBRATION_PIECES)).tolist()
    return tuple(vocabulary.decode(pieces) for pieces in chosen)


def _exporting_code() -> list[Path]:
    entries = [ROOT / "model_export" / entry for entry in _EXPORTING]
    return sorted(file for entry in entries for file in (entry.rglob("*.py") if entry.is_dir() else [entry]))


def _size(layers: int, width: int) -> str:
    return f"{layers}-layers" + ("" if width == BASE_CONFIG.hidden_size else f"-{width}-wide")


def _write_checkpoint(layers: int, width: int, folder: Path) -> None:
    folder.mkdir()
    save_checkpoint(_random_model(layers, width), TASK, folder)
    shutil.copy(VOCABULARY, folder / SENTENCEPIECE_FILE)


def _random_model(layers: int, width: int) -> BigBird:
    config = replace(
        BASE_CONFIG,
        num_hidden_layers=layers,
        hidden_size=width,
        num_attention_heads=width // BASE_CONFIG.head_dim,
        intermediate_size=width * BASE_CONFIG.intermediate_size // BASE_CONFIG.hidden_size,
    )
    model = build_model(config, TASK, get_pattern("transformers")).eval()
    generator = torch.Generator().manual_seed(_SEED)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            noise = torch.randn(parameter.shape, generator=generator)
            if name.endswith("norm.weight"):
                parameter.copy_(1 + 0.1 * noise)
            elif parameter.ndim == 1:
                parameter.copy_(0.1 * noise)
            elif name.startswith("embeddings."):
                parameter.copy_(noise)
            else:
                gain = _ATTENTION_GAIN if ".query." in name or ".key." in name else 1.0
                parameter.copy_(gain * noise / math.sqrt(parameter.shape[1]))
    return model
