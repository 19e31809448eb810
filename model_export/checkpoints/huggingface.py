"""Checkpoints in the Hugging Face layout of PyTorch weights, read and written.

`config.json`, `model.safetensors` (whole, or in shards with `model.safetensors.index.json`) and `spiece.model`.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from model_export.checkpoints.strict_load import load_strictly
from model_export.checkpoints.weight_names import huggingface_names
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird, build_model
from model_export.patterns.pattern import Pattern

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"
SHARD_INDEX_FILE = "model.safetensors.index.json"
TOKENIZER_FILE = "spiece.model"

ARCHITECTURES = {
    "BigBirdForQuestionAnswering": "qa",
    "BigBirdForSequenceClassification": "classify",
    "BigBirdForTokenClassification": "ner",
}
# Parts of a checkpoint that no task head here reads.
_IGNORABLE = ("bert.pooler.", "bert.embeddings.position_ids", "bert.embeddings.token_type_ids", "cls.")


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder that was found complete; its weights are not read yet.

    Attributes:
        folder: Where it is.
        config: Its model configuration.
        task: `qa`, `classify` or `ner`.
        weight_files: The safetensors files, in reading order.
        tokenizer_file: The SentencePiece model.
        special_tokens: Pieces of the special tokens by role (`cls`, `sep`, `pad`, `mask`).
    """

    folder: Path
    config: BigBirdConfig
    task: str
    weight_files: tuple[Path, ...]
    tokenizer_file: Path
    special_tokens: dict[str, str]

    def load_model(self, pattern: Pattern) -> tuple[BigBird, list[str]]:
        """Return the model in evaluation mode, and the names of the tensors that it does not use.

        Raises:
            CheckpointError: The weights cannot be read or do not fit the configuration.
        """
        model = build_model(self.config, self.task, pattern)
        names = huggingface_names(self.task, self.config)
        unused = load_strictly(model, self._read_tensors(), names, _IGNORABLE)
        return model.eval(), unused

    def _read_tensors(self) -> dict[str, torch.Tensor]:
        tensors: dict[str, torch.Tensor] = {}
        for file in self.weight_files:
            try:
                tensors.update(load_file(file))
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{file}: cannot be read as safetensors: {error}") from error
        return tensors

    def sha256(self) -> str:
        """Return one hash over the configuration, the weights and the tokenizer."""
        total = hashlib.sha256()
        for file in (self.folder / CONFIG_FILE, *self.weight_files, self.tokenizer_file):
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def read_checkpoint(folder: Path, task: str | None = None) -> Checkpoint:
    """Read a checkpoint folder's configuration and find its files.

    Args:
        folder: The checkpoint.
        task: The task to export; taken from the configuration's `architectures` when None.

    Raises:
        CheckpointError: A file is missing or unreadable, or the task cannot be told.
        ConfigError: The configuration cannot work.
    """
    if not folder.is_dir():
        raise CheckpointError(f"{folder}: is not a folder")
    values = _read_json(folder / CONFIG_FILE)
    tokenizer_file = folder / TOKENIZER_FILE
    if not tokenizer_file.is_file():
        raise CheckpointError(f"{tokenizer_file}: missing; a SentencePiece model is needed")
    return Checkpoint(
        folder=folder,
        config=BigBirdConfig.from_dict(values),
        task=_task(folder, values.get("architectures"), task),
        weight_files=_weight_files(folder),
        tokenizer_file=tokenizer_file,
        special_tokens=_special_tokens(folder),
    )


def save_checkpoint(model: BigBird, task: str, folder: Path) -> None:
    """Write `config.json` and `model.safetensors` under the Hugging Face names.

    Args:
        model: The model to save.
        task: Its task.
        folder: An existing folder.
    """
    architecture = next(name for name, own in ARCHITECTURES.items() if own == task)
    values = {"architectures": [architecture], **model.config.to_dict()}
    (folder / CONFIG_FILE).write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    own = model.state_dict()
    tensors = {name: own[key].contiguous() for key, name in huggingface_names(task, model.config).items()}
    save_file(tensors, folder / WEIGHTS_FILE, metadata={"format": "pt"})


def _read_json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: is not a JSON object")
    return values


def _task(folder: Path, architectures: object, asked: str | None) -> str:
    if asked is not None:
        if asked not in HEADS:
            raise CheckpointError(f"task: {asked!r} is not one of {', '.join(HEADS)}")
        return asked
    named = architectures if isinstance(architectures, list) else []
    tasks = [ARCHITECTURES[name] for name in map(str, named) if name in ARCHITECTURES]
    if not tasks:
        raise CheckpointError(
            f"{folder / CONFIG_FILE}: architectures {named} name no task; give one with --task {'|'.join(HEADS)}"
        )
    return tasks[0]


def _weight_files(folder: Path) -> tuple[Path, ...]:
    whole, index = folder / WEIGHTS_FILE, folder / SHARD_INDEX_FILE
    if whole.is_file():
        return (whole,)
    if not index.is_file():
        raise CheckpointError(f"{whole}: missing, and there is no {SHARD_INDEX_FILE} either")
    weight_map = _read_json(index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index}: has no weight_map")
    shards = tuple(_beside(index, name) for name in sorted(set(map(str, weight_map.values()))))
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        raise CheckpointError(f"{folder}: shards named in {SHARD_INDEX_FILE} are missing: {', '.join(missing)}")
    return shards


def _beside(index: Path, name: str) -> Path:
    if Path(name).name != name:
        raise CheckpointError(f"{index}: {name!r} is not a file beside it")
    return index.parent / name


def _special_tokens(folder: Path) -> dict[str, str]:
    """Return the special pieces; `tokenizer_config.json` may name others than the usual ones."""
    tokens = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
    path = folder / "tokenizer_config.json"
    if path.is_file():
        values = _read_json(path)
        for role in tokens:
            named = values.get(f"{role}_token")
            piece = named.get("content") if isinstance(named, dict) else named
            if isinstance(piece, str):
                tokens[role] = piece
    return tokens
