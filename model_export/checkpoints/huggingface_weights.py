"""Which file of a Hugging Face folder holds the weights, and what they say that its configuration does not.

A configuration is written by the library, weights by whatever trained them: the file may have a name of its own, and
the tensors may be of more tokens, or of a decoder that is not tied.
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import torch

from model_export.checkpoints import flax as flax_files
from model_export.checkpoints import lora, safetensors_files
from model_export.checkpoints import pytorch as pytorch_files
from model_export.checkpoints.checkpoint import Weights
from model_export.checkpoints.files import regular_file
from model_export.checkpoints.lora_weights import is_of_lora
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.checkpoints.training_shards import EMPTY_TENSORS, how_to_consolidate, parts_of_processes
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError, first_few, shortened

# Names that trainers choose: model.pt, best_model.pth, epoch=3.ckpt.
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt", ".pt.tar", ".pth.tar")
# What they write beside it.
_STATE_OF_TRAINING = (
    "optimizer",
    "scheduler",
    "scaler",
    "rng_state",
    "random_states",
    "training_args",
    "adapter_model",
)
_LANGUAGE_MODELS = ("fill-mask", "generate")


def usual(folder: Path) -> Weights | None:
    """Return the weights under the names that transformers writes."""
    for source in (safetensors_files, pytorch_files, flax_files):
        weights: Weights | None = source.find(folder)
        if weights is not None:
            return weights
    return None


def find(folder: Path) -> tuple[Weights, tuple[str, ...]]:
    """Return the weights, and a line if their file has a name of its own."""
    weights = usual(folder)
    if weights is not None:
        return weights, ()
    parts = parts_of_processes(folder)
    entries = sorted(
        entry
        for entry in folder.iterdir()
        if entry.name.endswith(_WEIGHT_SUFFIXES)
        and entry.name.isprintable()
        and not entry.name.startswith(_STATE_OF_TRAINING)
        and not entry.stem.endswith("_states")  # of DeepSpeed
        and entry.name not in parts
    )
    folders = [entry for entry in entries if entry.is_dir()]
    named = [entry.name for entry in entries if entry not in folders]
    if len(named) == 1:
        file = regular_file(folder, named[0])
        kind = safetensors_files.SafetensorsWeights if file.suffix == ".safetensors" else pytorch_files.PyTorchWeights
        return kind((file,)), (f"the weights are in {file.name}, the only file there that can be",)
    absent = f"{folder / WEIGHTS_FILE}: missing; there are no {pytorch_files.WEIGHTS_FILE}, {flax_files.WEIGHTS_FILE} "
    absent += "or shards either"
    if named:
        listed = ", ".join(first_few([*map(repr, named)]))
        raise CheckpointError(
            f"{absent}, but {listed}: call the one that is meant {pytorch_files.WEIGHTS_FILE}, or {WEIGHTS_FILE} if it "
            "is of safetensors"
        )
    in_parts = how_to_consolidate(folder)
    if in_parts is not None:
        raise CheckpointError(f"{folder}: {in_parts}")
    if folders:
        raise CheckpointError(f"{absent}, and {folders[0].name!r} is a folder; give the one that the weights lie in")
    raise CheckpointError(absent)


def settle(
    config: BigBirdConfig, task: str, tensors: Mapping[str, torch.Tensor], config_file: Path, *, resize: bool
) -> tuple[BigBirdConfig, tuple[str, ...]]:
    """Return the configuration as the weights have it, and what is otherwise in the file.

    Args:
        config: As in the file.
        task: A key of `HEADS`.
        tensors: Under their own names.
        config_file: For messages.
        resize: Whether the weights may have more or fewer tokens: an adapter has its base's configuration.

    Raises:
        CheckpointError: Matrices of an adapter stand among the weights, and nothing says how they are merged; or the
            weights are elsewhere, in parts.
        ConfigError: The weights are of another number of tokens.
    """
    left = next((name for name in tensors if is_of_lora(name)), None)
    if left is not None:
        raise CheckpointError(
            f"{config_file.parent}: {shortened(left)} is part of a LoRA adapter that was not merged; put its "
            f"{lora.CONFIG_FILE} beside the weights, or {lora.IN_PYTHON}"
        )
    empty = next((name for name, tensor in tensors.items() if tensor.numel() == 0), None)
    if empty is not None:
        in_parts = how_to_consolidate(config_file.parent)
        way_out = EMPTY_TENSORS if in_parts is None else f"remove that weight file: {in_parts}"
        raise CheckpointError(f"{config_file.parent}: {shortened(empty)} is empty; {way_out}")
    changes = []
    words = tensors.get(pytorch_files.WORD_EMBEDDINGS)
    if words is not None and words.ndim == 2 and len(words) != config.vocab_size:
        said = f"vocab_size: is {config.vocab_size}, but the weights have rows for {len(words)} tokens"
        if not resize:
            raise ConfigError(
                f"{config_file}: {said}; write {len(words)} there if the tokenizer is that of the weights"
            )
        config = replace(config, vocab_size=len(words))
        changes.append(said)
    if config.tie_word_embeddings and task in _LANGUAGE_MODELS and pytorch_files.separate_decoder(tensors):
        config = replace(config, tie_word_embeddings=False)
        changes.append(
            f"tie_word_embeddings: is true, but {pytorch_files.DECODER_WEIGHT} is not the word embeddings, and is used "
            "as transformers does"
        )
    return config, tuple(changes)


def without_answer_types(
    weights: Weights, config: BigBirdConfig, tensors: Mapping[str, torch.Tensor]
) -> tuple[str, ...]:
    """Return a line if the head for answer types, which the configuration names, is not among the weights."""
    head = weights.names("qa", replace(config, has_answer_types=True))["head.answer_type.output.weight"].name
    if head in tensors:
        return ()
    return (f"{head} is not there: the configuration names a class with answer types, and the answers have none",)
