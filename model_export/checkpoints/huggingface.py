"""Checkpoints in the Hugging Face layout, read and written.

`config.json`; weights from PyTorch (`model.safetensors`, `pytorch_model.bin`) or Flax (`flax_model.msgpack`), whole or
in shards; a vocabulary as `spiece.model`, `tokenizer.json` or `vocab.txt`. The first that is there counts.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors.torch import save_file

from bigbird_inference.manifest import PairTypes
from model_export.checkpoints import bert, huggingface_weights, lora
from model_export.checkpoints import huggingface_configuration as configuration
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, Weights
from model_export.checkpoints.checkpoint_tokenizer import VOCABULARY_FILES, FoundTokenizer
from model_export.checkpoints.files import optional_file, read_json, regular_file
from model_export.checkpoints.harmless_faults import put_right
from model_export.checkpoints.held_tasks import held_tasks
from model_export.checkpoints.lora import LoraAdapter
from model_export.checkpoints.lora_weights import LoraWeights
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.checkpoints.sentence_pooling import FoundPooling, find_pooling
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import BigBird

CONFIG_FILE = "config.json"


def recognises(folder: Path) -> bool:
    """Tell whether the folder looks like a Hugging Face checkpoint: it has the configuration, whatever else."""
    return any((folder / name).exists() for name in (CONFIG_FILE, lora.CONFIG_FILE))


@dataclass(frozen=True, slots=True)
class _Parts:
    """Where the parts of a checkpoint lie: in its folder, or in that of an adapter's base.

    Attributes:
        folder: The checkpoint.
        adapter: The adapter in it, if there is one.
        own_weights: Those of a whole model in it, if there are some; an adapter beside them belongs to them, as in
            transformers.
        base: Where everything is that the folder does not have: itself, or the adapter's base.
        named_base: What the base is called.
    """

    folder: Path
    adapter: LoraAdapter | None
    own_weights: Weights | None
    base: Path
    named_base: object

    @classmethod
    def find(cls, folder: Path, given_base: str | None) -> "_Parts":
        adapter = lora.find(folder)
        if adapter is None:
            if given_base is not None:
                raise CheckpointError(f"{folder}: is not a LoRA adapter; --base is for those")
            return cls(folder, None, huggingface_weights.usual(folder), folder, None)
        own_weights = huggingface_weights.usual(folder)
        if adapter.weights_file is None and own_weights is None:
            names = lora.WEIGHTS_FILES
            raise CheckpointError(f"{folder / names[0]}: missing; there is no {names[1]} either")
        base = folder if own_weights is not None else adapter.base_folder(given_base)
        return cls(folder, adapter, own_weights, base, given_base or adapter.named_base)

    def config_file(self) -> Path:
        return optional_file(self.folder, CONFIG_FILE) or regular_file(self.base, CONFIG_FILE)

    def weights(self, *, tied: bool) -> tuple[Weights, tuple[str, ...]]:
        """Return the weights, and what there is to say about where they were found.

        Args:
            tied: Whether the configuration ties the decoder to the word embeddings.
        """
        weights, lines = (self.own_weights, ()) if self.own_weights is not None else huggingface_weights.find(self.base)
        if self.adapter is None:
            return weights, lines
        into = "the weights beside it" if self.base == self.folder else f"its base, {self.named_base!r:.200}"
        return LoraWeights(weights, self.adapter, tied), (*lines, f"the LoRA adapter is merged into {into}")

    def tokenizer_folder(self) -> Path:
        return self.folder if any((self.folder / name).exists() for name in VOCABULARY_FILES) else self.base


def read(folder: Path, options: CheckpointOptions) -> Checkpoint:
    """Read the configuration and find the weights and the vocabulary.

    Args:
        folder: The checkpoint.
        options: What is said about it.

    Raises:
        CheckpointError: A file is missing or unreadable, or the task cannot be told.
        ConfigError: The configuration cannot work.
    """
    parts = _Parts.find(folder, options.base)
    config_file = parts.config_file()
    values, faults, assumptions = _values(config_file, with_labels=options.labels is None)
    is_bert, given = values["model_type"] == bert.MODEL_TYPE, values
    try:
        if is_bert:
            values = bert.as_big_bird(values, options.positions)
        config = BigBirdConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{config_file}: {error}") from error
    weights, found = parts.weights(tied=config.tie_word_embeddings)
    if is_bert:
        weights = bert.bert_weights(weights, given, config.max_position_embeddings)
    tensors = weights.read(options.ignore_weights).tensors
    architectures = values.get("architectures")
    held = held_tasks(lambda task: weights.names(task, config), tensors, config)
    task, assumed_task = _task(config_file, options.task, parts.adapter, architectures, held)
    is_adapted = parts.adapter is not None
    config, settled = huggingface_weights.settle(config, task, tensors, config_file, resize=is_adapted)
    changes = (*faults, *found, *settled)
    if task == "qa" and configuration.names_answer_types(architectures):
        changes += huggingface_weights.without_answer_types(weights, config, tensors)
    vocabulary = FoundTokenizer.find(parts.tokenizer_folder(), options.tokenizer, values.get("tokenizer_class"))
    tokenizer = vocabulary.read(options.text_pieces, config.vocab_size)
    if task == "generate":
        config, of_decoder = configuration.as_decoder(config_file.parent, config)
        changes += of_decoder
    pooling = find_pooling(config_file.parent) if task == "embed" else FoundPooling()
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        weights=weights,
        tokenizer=tokenizer,
        files=(config_file, *weights.files, *tokenizer.files, *pooling.files),
        default_pattern=configuration.pattern(config_file, values),
        pair_types=configuration.pair_types(config_file, values, task),
        assumptions=(*assumptions, *assumed_task),
        changes=(*changes, *tokenizer.changes, *pooling.changes),
        note=configuration.note(config_file, values),
        ignore_weights=options.ignore_weights,
        positions=config.max_position_embeddings if is_bert else None,
        pooling=pooling.pooling,
    )


def _values(config_file: Path, *, with_labels: bool) -> tuple[dict[str, Any], tuple[str, ...], tuple[str, ...]]:
    """Return the fields of a configuration, the faults that were put right, and what is assumed.

    Args:
        config_file: The file.
        with_labels: Whether its names of labels count; whatever is wrong with them does not matter otherwise.
    """
    given = read_json(config_file)
    if not with_labels:
        given = {name: value for name, value in given.items() if name not in configuration.LABEL_FIELDS}
    values, faults = put_right(given)
    if values.get("model_type") is not None:
        return values, faults, ()
    return {**values, "model_type": "big_bird"}, faults, ("model_type: big_bird (the configuration names none)",)


def _task(
    config_file: Path, wanted: str | None, adapter: LoraAdapter | None, architectures: object, held: Sequence[str]
) -> tuple[str, tuple[str, ...]]:
    """Return the task, and what is assumed about it."""
    task = wanted or (adapter.task if adapter else None) or configuration.named_task(architectures)
    # The encoder's class alone does not say that somebody wants the encoder alone.
    if task is not None and (task != "embed" or wanted is not None or not held):
        return task, ()
    task, reason = configuration.task_of_weights(config_file, architectures, held)
    return task, (f"task: {task} ({reason})",)


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
