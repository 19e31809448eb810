"""Checkpoints in the Hugging Face layout, read and written.

`config.json`; weights from PyTorch (`model.safetensors`, `pytorch_model.bin`) or Flax (`flax_model.msgpack`), whole or
in shards; a vocabulary as `spiece.model`, or as the `tokenizer.json` that transformers 5 writes instead.
"""

import json
from pathlib import Path

from safetensors.torch import save_file

from bigbird_inference.manifest import PairTypes
from model_export.checkpoints import flax as flax_files
from model_export.checkpoints import huggingface_configuration as configuration
from model_export.checkpoints import pytorch as pytorch_files
from model_export.checkpoints import safetensors_files
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, Weights
from model_export.checkpoints.files import optional_file, read_json, read_vocabulary, regular_file
from model_export.checkpoints.harmless_faults import put_right
from model_export.checkpoints.held_tasks import held_tasks
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.checkpoints.tokenizer_json import sentencepiece_from_tokenizer_json
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import BigBird

CONFIG_FILE = "config.json"
SENTENCEPIECE_FILE = "spiece.model"
TOKENIZER_JSON_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"


def recognises(folder: Path) -> bool:
    """Tell whether the folder looks like a Hugging Face checkpoint: it has the configuration, whatever else."""
    return (folder / CONFIG_FILE).exists()


def read(folder: Path, options: CheckpointOptions) -> Checkpoint:
    """Read the configuration and find the weights and the vocabulary.

    Args:
        folder: The checkpoint.
        options: What is said about it.

    Raises:
        CheckpointError: A file is missing or unreadable, or the task cannot be told.
        ConfigError: The configuration cannot work.
    """
    config_file = regular_file(folder, CONFIG_FILE)
    values, changes = put_right(read_json(config_file))
    assumptions = []
    if values.get("model_type") is None:
        values["model_type"] = "big_bird"
        assumptions.append("model_type: big_bird (the configuration names none)")
    try:
        config = BigBirdConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{config_file}: {error}") from error
    tokenizer_file, tokenizer = _tokenizer(folder)
    weights = _weights(folder)
    architectures = values.get("architectures")
    task = options.task or configuration.named_task(architectures)
    if task is None:
        held = held_tasks(lambda task: weights.names(task, config), weights.read(), config)
        task, reason = configuration.task_of_weights(config_file, architectures, held)
        assumptions.append(f"task: {task} ({reason})")
    if task == "generate":
        config, lines = configuration.with_ends(folder, config)
        changes += lines
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        weights=weights,
        tokenizer=tokenizer,
        files=(config_file, *weights.files, tokenizer_file),
        special_tokens=_special_tokens(folder),
        default_pattern=configuration.pattern(config_file, values),
        pair_types=configuration.pair_types(config_file, values, task),
        assumptions=tuple(assumptions),
        changes=changes,
        note=configuration.note(config_file, values),
    )


def save_checkpoint(
    model: BigBird,
    task: str,
    folder: Path,
    *,
    pattern: str = configuration.USUAL_PATTERN,
    pair_types: PairTypes | None = None,
    note: str | None = None,
) -> None:
    """Write `config.json` and `model.safetensors` under the Hugging Face names.

    Args:
        model: The model to save.
        task: Its task.
        folder: An existing folder.
        pattern: Random blocks that the weights belong to; whoever reads the checkpoint gets them by default.
        pair_types: Token types of pairs in training; likewise. None where there were no pairs.
        note: What everybody should know who asks the model.
    """
    architecture = next(name for name, own in configuration.TASKS.items() if own == task)
    values = {"architectures": [architecture], **model.config.to_dict()}
    if pattern != configuration.USUAL_PATTERN:
        values[configuration.PATTERN_FIELD] = pattern
    if pair_types is not None:
        values[configuration.PAIR_TYPES_FIELD] = pair_types
    if note is not None:
        values[configuration.NOTE_FIELD] = note
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    own = model.state_dict()
    names = huggingface_names(task, model.config)
    tensors = {source.name: own[key].contiguous() for key, source in names.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _weights(folder: Path) -> Weights:
    for source in (safetensors_files, pytorch_files, flax_files):
        weights: Weights | None = source.find(folder)
        if weights is not None:
            return weights
    raise CheckpointError(
        f"{folder / WEIGHTS_FILE}: missing; there are no {pytorch_files.WEIGHTS_FILE}, {flax_files.WEIGHTS_FILE} "
        "or shards either"
    )


def _tokenizer(folder: Path) -> tuple[Path, bytes]:
    model_file = optional_file(folder, SENTENCEPIECE_FILE)
    if model_file is not None:
        return model_file, read_vocabulary(model_file)
    json_file = optional_file(folder, TOKENIZER_JSON_FILE)
    if json_file is not None:
        return json_file, sentencepiece_from_tokenizer_json(json_file)
    raise CheckpointError(
        f"{folder / SENTENCEPIECE_FILE}: missing; there is no {TOKENIZER_JSON_FILE} either. Copy one of them from the "
        "model that this one was trained from; in Python, its tokenizer.save_pretrained writes it"
    )


def _special_tokens(folder: Path) -> dict[str, str]:
    """Return the special pieces; `tokenizer_config.json` may name others than the usual ones."""
    tokens = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
    path = optional_file(folder, TOKENIZER_CONFIG_FILE)
    if path is not None:
        values = read_json(path)
        for role in tokens:
            named = values.get(f"{role}_token")
            piece = named.get("content") if isinstance(named, dict) else named
            if isinstance(piece, str):
                tokens[role] = piece
    return tokens
