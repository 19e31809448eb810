"""What a checkpoint is, whatever source it comes from: configuration, task, weights and vocabulary.

Each source has a module that finds these in a folder (`huggingface`, `google`, `model_garden`); everything after it
sees only the types here. Weights are described by a table from our tensors to the source's (`SourceTensor`), so that a
new source is a new table.
"""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol, get_args

import torch

from bigbird_inference.manifest import PairTypes, SentencePooling, TrainableTask
from model_export.checkpoints.checkpoint_tokenizer import CheckpointTokenizer
from model_export.checkpoints.held_tasks import held_tasks
from model_export.checkpoints.labels import LABELLED_TASKS, numbered_labels, settle_labels
from model_export.checkpoints.source_tensors import SourceTensor, StoredTensors, load_strictly
from model_export.config import BigBirdConfig
from model_export.errors import CheckpointError, ConfigError, MisfitError
from model_export.nn.model import BigBird, build_model
from model_export.patterns.pattern import Pattern


class Weights(Protocol):
    """The weights of a checkpoint, found but not read."""

    @property
    def kind(self) -> str:
        """Format and source, for the manifest."""
        ...

    @property
    def files(self) -> tuple[Path, ...]:
        """Every file that is read, in a fixed order."""
        ...

    @property
    def ignorable(self) -> tuple[str, ...]:
        """Prefixes of tensors that a task may leave unused."""
        ...

    def names(self, task: str, config: BigBirdConfig) -> Mapping[str, SourceTensor]:
        """Return where each tensor of our model stands."""
        ...

    def read(self, ignored: Sequence[str] = ()) -> StoredTensors:
        """Return all tensors under the names of the source's table.

        Args:
            ignored: Patterns, as of a shell, of tensors to leave out.

        Raises:
            CheckpointError: A file cannot be read, names do not tell what the tensors are, or a pattern fits none.
        """
        ...


@dataclass(frozen=True, slots=True)
class CheckpointOptions:
    """What the person who exports says about a checkpoint; None and empty leave it to the checkpoint.

    Attributes:
        task: A key of `HEADS`.
        ignore_weights: Patterns, as of a shell, of tensors to leave out.
        base: Where the model of a LoRA adapter is, a folder or a hub id.
        follow_links: Whether symbolic links may lead out of the folder.
        tokenizer: Where its tokenizer is, if not in its folder: a folder, a file, or an id on the Hugging Face hub.
        text_pieces: User-defined pieces of its vocabulary that stay pieces where a text holds them.
        labels: What the outputs of the head are called, in their order.
        positions: How many positions those of a BERT are repeated to.
    """

    task: str | None = None
    ignore_weights: tuple[str, ...] = ()
    base: str | None = None
    follow_links: bool = False
    tokenizer: str | None = None
    text_pieces: tuple[str, ...] = ()
    labels: tuple[str, ...] | None = None
    positions: int | None = None


@dataclass(frozen=True, slots=True)
class LoadedCheckpoint:
    """A checkpoint whose weights were read.

    Attributes:
        model: The model, in evaluation mode.
        unused: Names of the tensors that it does not use.
        changes: What was renamed, merged, left out or made up, a line each, the checkpoint's own lines first.
    """

    model: BigBird
    unused: list[str]
    changes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint folder that was found complete; its weights are not read yet.

    Attributes:
        folder: Where it is.
        config: Its model configuration; what it says of the head holds once the weights were read (`settled`).
        task: A key of `HEADS`.
        weights: Its weights.
        tokenizer: Its tokenizer.
        files: Configuration and weights in a fixed order, then the tokenizer's: what the checkpoint's hash covers.
        default_pattern: The random-block pattern of the checkpoint's source.
        pair_types: The token types of pairs that it was trained with.
        labels: What a person wants the outputs of the head to be called.
        assumptions: Facts that the checkpoint does not state, and what was assumed, a line each.
        changes: What was taken otherwise than it stands in the files, a line each.
        note: What its maker wants everybody to know who asks the model.
        ignore_weights: Patterns, as of a shell, of tensors that are left out.
        positions: How many positions those of a BERT were repeated to; None of any other checkpoint.
        pooling: How it was trained to make one vector of a text, where it says.
    """

    folder: Path
    config: BigBirdConfig
    task: str
    weights: Weights
    tokenizer: CheckpointTokenizer
    files: tuple[Path, ...]
    default_pattern: str
    pair_types: PairTypes = "segments"
    labels: tuple[str, ...] | None = None
    assumptions: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    note: str | None = None
    ignore_weights: tuple[str, ...] = ()
    positions: int | None = None
    pooling: SentencePooling | None = None

    def load(self, pattern: Pattern) -> LoadedCheckpoint:
        """Read the weights into a model.

        Raises:
            CheckpointError: The weights cannot be read or do not fit the configuration.
        """
        stored = self.weights.read(self.ignore_weights)
        tensors = stored.tensors
        self._check_head(tensors)
        settled = self._settled(tensors)
        names = self._names(settled.config, tensors)
        with torch.device("meta"):  # shapes only: sizes that the weights do not have must not be allocated
            model = build_model(settled.config, self.task, pattern)
        try:
            unused = load_strictly(model, tensors, names, self.weights.ignorable)
        except CheckpointError as error:
            way_out = _without_answer_types(names, error.tensors) if isinstance(error, MisfitError) else ""
            read_as = "".join(f"\n  {change}" for change in stored.changes)
            raise CheckpointError(f"{error}{way_out}{read_as}") from error
        table = self.weights.names(self.task, settled.config)
        tied = [
            f"{table[own].name} is not there: {source.name} is read, which is tied to it"
            for own, source in names.items()
            if source != table[own]
        ]
        return LoadedCheckpoint(model.eval(), unused, (*settled.changes, *stored.changes, *tied))

    def _names(self, config: BigBirdConfig, tensors: Mapping[str, torch.Tensor]) -> dict[str, SourceTensor]:
        """Return where each tensor of the model stands among those that there are."""
        return {own: source.found(tensors) for own, source in self.weights.names(self.task, config).items()}

    def settled(self) -> "Checkpoint":
        """Return the checkpoint with the labels and the parts of a head that its weights have; they are read for that.

        Raises:
            CheckpointError: The weights cannot be read.
            ConfigError: The labels do not tell answers apart.
        """
        return self._settled(self.weights.read(self.ignore_weights).tensors)

    def _settled(self, tensors: Mapping[str, torch.Tensor]) -> "Checkpoint":
        config, changes = self.config, self.changes
        names = self._names(config, tensors)
        pooler, output = names.get("head.pooler.weight"), names.get("head.output.weight")
        if self.task == "embed" and pooler is not None and pooler.name not in tensors:
            config = replace(config, has_pooler=False)
        if self.task == "qa" and self._tells_answer_types(tensors):
            config = replace(config, has_answer_types=True)
        if self.task not in LABELLED_TASKS:
            config = replace(config, labels=numbered_labels(config.labels))
        elif output is not None and output.name in tensors:
            outputs = output.arranged(tensors[output.name]).shape
            try:
                labels, lines = settle_labels(config.labels, outputs[0] if outputs else 0, self.labels)
            except ConfigError as error:
                raise ConfigError(f"{self.folder}: {error}") from error
            config, changes = replace(config, labels=labels), (*changes, *lines)
        return replace(self, config=config, changes=changes)

    def _tells_answer_types(self, tensors: Mapping[str, torch.Tensor]) -> bool:
        names = self._names(replace(self.config, has_answer_types=True), tensors)
        source = names.get("head.answer_type.output.weight")
        return source is not None and source.name in tensors

    def _check_head(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Check that there is a head for the task at all; what a head lacks is listed with everything else."""
        names = self._names(self.config, tensors)
        # A pooler is not a head: most checkpoints have one.
        head = {source.name for own, source in names.items() if own.startswith("head.") and "pooler" not in own}
        if not head or head & tensors.keys():
            return
        held = held_tasks(lambda task: self.weights.names(task, self.config), tensors, self.config)
        others = f", only for {', '.join(held)}" if held else ""
        raise CheckpointError(f"{self.folder}: has no head for {self.task}{others}; {instead_of_a_head(self.task)}")

    def sha256(self) -> str:
        """Return one hash over all files."""
        total = hashlib.sha256()
        for file in self.files:
            with file.open("rb") as stream:
                total.update(hashlib.file_digest(stream, "sha256").digest())
        return total.hexdigest()


def _without_answer_types(names: Mapping[str, SourceTensor], misfits: Collection[str]) -> str:
    """Return what to do if the head for answer types is what does not fit."""
    if not any(own.startswith("head.answer_type.") and source.name in misfits for own, source in names.items()):
        return ""
    output = names["head.answer_type.output.weight"].name
    module = output[: max(output.rfind("."), output.rfind("/")) + 1]
    return f"\n  to go without answer types, leave their head out: --ignore-weights '{module}*'"


def instead_of_a_head(task: str) -> str:
    """Return what to do about a checkpoint that has no head for a task."""
    other = "give the task that it was trained for with --task"
    return f"`bigbird finetune` with --task {task} makes one, or {other}" if task in get_args(TrainableTask) else other


def check_task(config: BigBirdConfig, task: str) -> None:
    """Check that a task fits the direction of the model's attention.

    Raises:
        ConfigError: A decoder is to do something else than generate, or an encoder is to generate.
    """
    if (task == "generate") != config.is_decoder:
        needed = "true for the task generate" if task == "generate" else f"false for the task {task}"
        raise ConfigError(f"is_decoder: is {str(config.is_decoder).lower()}, but must be {needed}")
