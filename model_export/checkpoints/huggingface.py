"""Checkpoints in the Hugging Face layout, read and written.

`config.json`; weights from PyTorch (`model.safetensors`, `pytorch_model.bin`) or Flax (`flax_model.msgpack`), whole or
in shards; a vocabulary as `spiece.model`, or as the `tokenizer.json` that transformers 5 writes instead.
"""

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from bigbird_inference.manifest import Note
from model_export.checkpoints import flax as flax_files
from model_export.checkpoints import lora, safetensors_files
from model_export.checkpoints import pytorch as pytorch_files
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, Weights
from model_export.checkpoints.files import optional_file, read_json, read_vocabulary, regular_file
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.checkpoints.tokenizer_json import sentencepiece_from_tokenizer_json
from model_export.checkpoints.training_shards import how_to_consolidate
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError, first_few
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird
from model_export.patterns.registry import PATTERNS

CONFIG_FILE = "config.json"
SENTENCEPIECE_FILE = "spiece.model"
TOKENIZER_JSON_FILE = "tokenizer.json"
TOKENIZER_CONFIG_FILE = "tokenizer_config.json"
_TOKENIZER_FILES = (SENTENCEPIECE_FILE, TOKENIZER_JSON_FILE)

# Names that trainers choose: model.pt, best_model.pth, epoch=3.ckpt.
_WEIGHT_SUFFIXES = (".safetensors", ".bin", ".pt", ".pth", ".ckpt")
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

# Fields of our own. transformers has one pattern only, which needs no name.
PATTERN_FIELD = "random_block_pattern"
USUAL_PATTERN = "transformers"
NOTE_FIELD = "bigbird_serve_note"
_NOTE = TypeAdapter(Note)

# The task of an architecture's name, after `BigBirdFor` or `FlaxBigBirdFor`.
_TASKS = {
    "BigBirdForQuestionAnswering": "qa",
    "BigBirdForSequenceClassification": "classify",
    "BigBirdForTokenClassification": "ner",
    "BigBirdForMaskedLM": "fill-mask",
    "BigBirdForPreTraining": "fill-mask",
    "BigBirdForMultipleChoice": "multiple-choice",
    "BigBirdForCausalLM": "generate",
    "BigBirdModel": "embed",
}


def recognises(folder: Path) -> bool:
    """Tell whether the folder looks like a Hugging Face checkpoint: it has the configuration, whatever else."""
    return any((folder / name).exists() for name in (CONFIG_FILE, lora.CONFIG_FILE))


def read(folder: Path, options: CheckpointOptions) -> Checkpoint:
    """Read the configuration and find the weights and the vocabulary.

    Args:
        folder: The checkpoint.
        options: What is said about it.

    Raises:
        CheckpointError: A file is missing or unreadable, or the task cannot be told.
        ConfigError: The configuration cannot work.
    """
    adapter = lora.find(folder)
    if options.base is not None and adapter is None:
        raise CheckpointError(f"{folder}: is no LoRA adapter; --base is for those")
    own_weights = _usual_weights(folder)
    if adapter is not None and adapter.weights_file is None and own_weights is None:
        raise CheckpointError(f"{folder / lora.WEIGHTS_FILES[0]}: missing; there is no {lora.WEIGHTS_FILES[1]} either")
    # An adapter beside the weights of a whole model belongs to that, as in transformers.
    base = folder if adapter is None or own_weights is not None else adapter.base_folder(options.base)
    config_file = optional_file(folder, CONFIG_FILE) or regular_file(base, CONFIG_FILE)
    values = read_json(config_file)
    try:
        config = BigBirdConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{config_file}: {error}") from error
    vocabulary_folder = folder if any((folder / name).exists() for name in _TOKENIZER_FILES) else base
    tokenizer_file, tokenizer = _tokenizer(vocabulary_folder)
    weights, changes = (own_weights, ()) if own_weights is not None else _weights(base)
    if adapter is not None:
        weights = lora.LoraWeights(weights, adapter)
        named = "the weights beside it" if base == folder else f"its base, {options.base or adapter.named_base!r:.200}"
        changes = (*changes, f"the LoRA adapter is merged into {named}")
    stored = weights.read(options.ignore_weights)
    config, settled = _settled(config, stored.tensors, config_file, resize=adapter is not None)
    return Checkpoint(
        folder=folder,
        config=config,
        task=options.task or (adapter.task if adapter else None) or _task(folder, values.get("architectures")),
        weights=weights,
        tokenizer=tokenizer,
        files=(config_file, *weights.files, tokenizer_file),
        special_tokens=_special_tokens(vocabulary_folder),
        default_pattern=_pattern(config_file, values),
        changes=(*changes, *settled),
        note=_note(config_file, values),
        ignore_weights=options.ignore_weights,
    )


def _settled(
    config: BigBirdConfig, tensors: Mapping[str, torch.Tensor], config_file: Path, *, resize: bool
) -> tuple[BigBirdConfig, tuple[str, ...]]:
    """Return the configuration as the weights have it, and what is otherwise in the file.

    Args:
        config: As in the file.
        tensors: Under their own names.
        config_file: For messages.
        resize: Whether the weights may have more or fewer tokens: an adapter has its base's configuration.

    Raises:
        CheckpointError: Matrices of an adapter stand among the weights, and nothing says how they are merged; or the
            weights are elsewhere, in parts.
        ConfigError: The weights are of another number of tokens.
    """
    left = next((name for name in tensors if lora.is_of_lora(name)), None)
    if left is not None and not (config_file.parent / lora.CONFIG_FILE).exists():
        raise CheckpointError(
            f"{config_file.parent}: {left} is part of a LoRA adapter that was not merged; put its {lora.CONFIG_FILE} "
            f"beside the weights, or {lora.IN_PYTHON}"
        )
    empty = next((name for name, tensor in tensors.items() if tensor.numel() == 0), None)
    if empty is not None and (in_parts := how_to_consolidate(config_file.parent)) is not None:
        # What ZeRO 3 leaves in model.safetensors if the weights are not gathered for it.
        raise CheckpointError(f"{config_file.parent}: {empty} is empty; remove that weight file: {in_parts}")
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
    if config.tie_word_embeddings and pytorch_files.separate_decoder(tensors):
        config = replace(config, tie_word_embeddings=False)
        changes.append(
            f"tie_word_embeddings: is true, but {pytorch_files.DECODER_WEIGHT} is not the word embeddings, and is used "
            "as transformers does"
        )
    return config, tuple(changes)


def save_checkpoint(
    model: BigBird, task: str, folder: Path, *, pattern: str = USUAL_PATTERN, note: str | None = None
) -> None:
    """Write `config.json` and `model.safetensors` under the Hugging Face names.

    Args:
        model: The model to save.
        task: Its task.
        folder: An existing folder.
        pattern: Random blocks that the weights belong to; whoever reads the checkpoint gets them by default.
        note: What everybody should know who asks the model.
    """
    architecture = next(name for name, own in _TASKS.items() if own == task)
    values = {"architectures": [architecture], **model.config.to_dict()}
    if pattern != USUAL_PATTERN:
        values[PATTERN_FIELD] = pattern
    if note is not None:
        values[NOTE_FIELD] = note
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    own = model.state_dict()
    names = huggingface_names(task, model.config)
    tensors = {source.name: own[key].contiguous() for key, source in names.items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _pattern(config_file: Path, values: dict[str, Any]) -> str:
    """Return the pattern that the weights belong to; transformers names none."""
    name = values.get(PATTERN_FIELD, USUAL_PATTERN)
    if name not in tuple(PATTERNS):
        raise ConfigError(f"{config_file}: {PATTERN_FIELD}: {name!r:.80} is not one of {', '.join(PATTERNS)}")
    return str(name)


def _note(config_file: Path, values: dict[str, Any]) -> str | None:
    if values.get(NOTE_FIELD) is None:
        return None
    try:
        return _NOTE.validate_python(values[NOTE_FIELD], strict=True)
    except ValidationError:
        raise ConfigError(
            f"{config_file}: {NOTE_FIELD}: must be one line of at most 500 characters; shorten it or leave it out"
        ) from None


def _task(folder: Path, architectures: object) -> str:
    named = architectures if isinstance(architectures, list) else []
    tasks = [_TASKS[name] for name in (str(entry).removeprefix("Flax") for entry in named) if name in _TASKS]
    if not tasks:
        raise CheckpointError(
            f"{folder / CONFIG_FILE}: architectures {named!r:.80} name no task; give one with --task {'|'.join(HEADS)}"
        )
    return tasks[0]


def _usual_weights(folder: Path) -> Weights | None:
    """Return the weights under the names that transformers writes."""
    for source in (safetensors_files, pytorch_files, flax_files):
        weights: Weights | None = source.find(folder)
        if weights is not None:
            return weights
    return None


def _weights(folder: Path) -> tuple[Weights, tuple[str, ...]]:
    """Return the weights, and a line if their file has a name of its own."""
    weights = _usual_weights(folder)
    if weights is not None:
        return weights, ()
    named = sorted(
        entry.name
        for entry in folder.iterdir()
        if entry.suffix in _WEIGHT_SUFFIXES
        and entry.name.isprintable()
        and not entry.name.startswith(_STATE_OF_TRAINING)
        and not entry.stem.endswith("_states")  # of DeepSpeed
    )
    if len(named) == 1:
        file = regular_file(folder, named[0])
        kind = safetensors_files.SafetensorsWeights if file.suffix == ".safetensors" else pytorch_files.PyTorchWeights
        return kind((file,)), (f"the weights are in {file.name}, the only file there that can be",)
    usual = f"{pytorch_files.WEIGHTS_FILE}, {flax_files.WEIGHTS_FILE} or shards"
    if named:
        listed = ", ".join(first_few([*map(repr, named)]))
        raise CheckpointError(
            f"{folder / WEIGHTS_FILE}: missing; there are no {usual} either, but {listed}: call the one that is meant "
            f"{pytorch_files.WEIGHTS_FILE}, or {WEIGHTS_FILE} if it is of safetensors"
        )
    in_parts = how_to_consolidate(folder)
    if in_parts is not None:
        raise CheckpointError(f"{folder}: {in_parts}")
    raise CheckpointError(f"{folder / WEIGHTS_FILE}: missing; there are no {usual} either")


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
