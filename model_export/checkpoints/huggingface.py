"""Checkpoints in the Hugging Face layout, read and written.

`config.json`; weights from PyTorch (`model.safetensors`, `pytorch_model.bin`) or Flax (`flax_model.msgpack`), whole or
in shards; a vocabulary as `spiece.model`, `tokenizer.json` or `vocab.txt`. The first that is there counts.
"""

import json
from pathlib import Path

from safetensors.torch import save_file

from bigbird_inference.manifest import PairTypes
from model_export.checkpoints import huggingface_configuration as configuration
from model_export.checkpoints import huggingface_weights, lora
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import VOCABULARY_FILES, FoundTokenizer
from model_export.checkpoints.files import optional_file, read_json, regular_file
from model_export.checkpoints.harmless_faults import put_right
from model_export.checkpoints.held_tasks import held_tasks
from model_export.checkpoints.lora_weights import LoraWeights
from model_export.checkpoints.pytorch import huggingface_names
from model_export.checkpoints.safetensors_files import WEIGHTS_FILE
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.model import BigBird

CONFIG_FILE = "config.json"


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
    given = read_json(config_file)
    if options.labels is not None:  # whatever is wrong with its own names
        given = {name: value for name, value in given.items() if name not in ("id2label", "label2id", "num_labels")}
    values, faults = put_right(given)
    assumptions = []
    if values.get("model_type") is None:
        values["model_type"] = "big_bird"
        assumptions.append("model_type: big_bird (the configuration names none)")
    try:
        config = BigBirdConfig.from_dict(values)
    except ConfigError as error:
        raise ConfigError(f"{config_file}: {error}") from error
    weights, changes = (own_weights, ()) if own_weights is not None else huggingface_weights.find(base)
    if adapter is not None:
        weights = LoraWeights(weights, adapter, config.tie_word_embeddings)
        named = "the weights beside it" if base == folder else f"its base, {options.base or adapter.named_base!r:.200}"
        changes = (*changes, f"the LoRA adapter is merged into {named}")
    stored = weights.read(options.ignore_weights)
    architectures = values.get("architectures")
    task = options.task or (adapter.task if adapter else None) or configuration.named_task(architectures)
    held = held_tasks(lambda task: weights.names(task, config), stored.tensors, config)
    # The encoder's class alone does not say that somebody wants the encoder alone.
    if task is None or (task == "embed" and options.task is None and held):
        task, reason = configuration.task_of_weights(config_file, architectures, held)
        assumptions.append(f"task: {task} ({reason})")
    config, settled = huggingface_weights.settle(config, task, stored.tensors, config_file, resize=adapter is not None)
    untold: tuple[str, ...] = ()
    if task == "qa" and configuration.names_answer_types(architectures):
        untold = huggingface_weights.without_answer_types(weights, config, stored.tensors)
    own = folder if any((folder / name).exists() for name in VOCABULARY_FILES) else base
    found = FoundTokenizer.find(own, options.tokenizer, values.get("tokenizer_class"))
    tokenizer = found.read(options.text_pieces, config.vocab_size)
    of_decoder: tuple[str, ...] = ()
    if task == "generate":
        config, of_decoder = configuration.with_ends(config_file.parent, config)
        if config.attention_type == "block_sparse":
            of_decoder = (configuration.CAUSAL, *of_decoder)
    return Checkpoint(
        folder=folder,
        config=config,
        task=task,
        weights=weights,
        tokenizer=tokenizer,
        files=(config_file, *weights.files, *tokenizer.files),
        default_pattern=configuration.pattern(config_file, values),
        pair_types=configuration.pair_types(config_file, values, task),
        assumptions=tuple(assumptions),
        changes=(*faults, *changes, *settled, *untold, *of_decoder, *tokenizer.changes),
        note=configuration.note(config_file, values),
        ignore_weights=options.ignore_weights,
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
