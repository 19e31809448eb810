"""Checkpoints in the Hugging Face layout, read and written.

`config.json`; weights from PyTorch (`model.safetensors`, `pytorch_model.bin`) or Flax (`flax_model.msgpack`), whole or
in shards; a vocabulary as `spiece.model`, `tokenizer.json` or `vocab.txt`. The first that is there counts.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError
from safetensors.torch import save_file

from bigbird_inference.manifest import Note
from model_export.checkpoints import huggingface_weights, lora
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import VOCABULARY_FILES, read_tokenizer
from model_export.checkpoints.files import optional_file, read_json, regular_file
from model_export.checkpoints.lora_weights import LoraWeights
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird
from model_export.patterns.registry import PATTERNS

CONFIG_FILE = "config.json"

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
    own_weights = huggingface_weights.usual(folder)
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
    weights, changes = (own_weights, ()) if own_weights is not None else huggingface_weights.find(base)
    if adapter is not None:
        weights = LoraWeights(weights, adapter)
        named = "the weights beside it" if base == folder else f"its base, {options.base or adapter.named_base!r:.200}"
        changes = (*changes, f"the LoRA adapter is merged into {named}")
    task = options.task or (adapter.task if adapter else None) or _task(folder, values.get("architectures"))
    stored = weights.read(options.ignore_weights)
    config, settled = huggingface_weights.settle(config, task, stored.tensors, config_file, resize=adapter is not None)
    tokenizer = read_tokenizer(
        folder if any((folder / name).exists() for name in VOCABULARY_FILES) else base,
        options.tokenizer,
        options.text_pieces,
        config.vocab_size,
        values.get("tokenizer_class"),
    )
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        weights=weights,
        tokenizer=tokenizer,
        files=(config_file, *weights.files, *tokenizer.files),
        default_pattern=_pattern(config_file, values),
        changes=(*changes, *settled, *tokenizer.changes),
        note=_note(config_file, values),
        ignore_weights=options.ignore_weights,
    )


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
