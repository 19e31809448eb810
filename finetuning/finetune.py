"""From a checkpoint and two files to a fine-tuned checkpoint: the stages of `bigbird finetune`, one call each.

checkpoint -> files -> model -> encoded rows -> training, measured and saved -> best weights -> checkpoint and card
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.tokenization.tokenizer import Tokenizer
from finetuning.card import Card, buckets_of
from finetuning.data import PROBLEM_OF_TARGET, read_data
from finetuning.failure_hints import explained
from finetuning.flash_attention import FlashAttention
from finetuning.forward import Precision, recompute_activations
from finetuning.history import Curve, Measurement, require_matplotlib
from finetuning.lora import adapt, rate_factor, require_adaptable
from finetuning.objective import Batching, FileObjective
from finetuning.options import DeviceName, FinetuneOptions
from finetuning.output_folder import OutputFolder
from finetuning.plan import Plan, Stage
from finetuning.progress import Progress
from finetuning.served_task import RememberingTokenizer
from finetuning.start import Start, set_dropout, tell_case
from finetuning.state_file import Setting
from finetuning.stop_signals import StopSignals
from finetuning.task_objectives import create_objective, window_length
from finetuning.trainer import Trainer, TrainingStopped
from model_export.checkpoints.checkpoint import Checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import ConfigError
from model_export.export.buckets import BucketStep
from model_export.export.bundle_tokenizer import write_bundle_tokenizer
from model_export.nn.model import BigBird
from model_export.patterns.pattern import NoRandomPattern, Pattern
from model_export.patterns.registry import get_pattern


@dataclass(frozen=True, slots=True)
class Finetuned:
    """What came out.

    Attributes:
        best: The measurement whose weights were kept.
        score_name: What it measured.
        pattern: Random blocks with which to export.
        buckets: With which to export; None for all of the model.
        base: With which to export an adapter; None for a whole checkpoint.
    """

    best: Measurement
    score_name: str
    pattern: str
    buckets: BucketStep | None
    base: str | None = None


def finetune(folder: Path, output: Path, options: FinetuneOptions, *, name: str | None = None) -> Finetuned:
    """Fine-tune a checkpoint; a training of the same settings that was stopped goes on.

    Args:
        folder: The checkpoint to start from.
        output: The checkpoint to make.
        options: The choices.
        name: What the card calls the start; None takes the folder's name.

    Raises:
        ExportError: The checkpoint, a setting or a saved state does not fit.
        DataError: A file does not; the message names its line.
        TrainingStopped: A signal ended the training; its state is saved.
    """
    require_matplotlib()
    place = OutputFolder(output)
    place.check(folder)
    ready = _prepare(Start.find(folder, options.task, options.tokenizer), options)
    settings = {**dict(options.settings()), "pattern": ready.pattern.name}
    place.take(options.task, settings)
    progress = Progress(options.task, place.log)
    curve = Curve(place.work, f"{output.name} ({options.task})", ready.objective.score_name, progress.note)
    trainer = _trainer(ready, options, place, settings | _contents(ready.checkpoint, options), curve)
    try:
        progress.note(_summary(ready, options))
        for line in (line for note in ready.objective.notes for line in note.lines()):
            progress.note(line)
        _train(trainer, progress, place)
    finally:
        progress.close()

    best = trainer.history.best
    assert best is not None
    config = ready.model.config
    base = None if options.lora is None else name or str(folder.resolve())
    card = Card(
        name=output.resolve().name,
        task=options.task,
        source=name or folder.resolve().name,
        head=ready.head,
        files={"training": options.training_file, "evaluation": options.evaluation_file},
        pattern=ready.pattern.name,
        random_blocks=options.random_blocks,
        settings={**settings, "precision": ready.precision.name},
        steps=trainer.position.total_steps,
        seconds=trainer.position.seconds,
        best=best,
        labels=config.labels if options.task in ("classify", "ner") else (),
        buckets=ready.buckets,
        max_length=window_length(config, options.max_length),
        notes=tuple(note.summary for note in ready.objective.notes),
        base=base,
    )
    # The checkpoint first: whatever becomes of the picture, it is there.
    place.write_checkpoint(ready.model, ready.checkpoint, card)
    curve.write_numbers(trainer.history)
    curve.redraw(trainer.history)
    return Finetuned(best, ready.objective.score_name, ready.pattern.name, ready.buckets, base)


@dataclass(frozen=True, slots=True)
class _Ready:
    """Everything that is needed to train."""

    checkpoint: Checkpoint
    model: BigBird
    head: str
    pattern: Pattern
    objective: FileObjective[Any]
    device: torch.device
    precision: Precision
    buckets: BucketStep | None


def _prepare(start: Start, options: FinetuneOptions) -> _Ready:
    """Read the files, build the model and encode what it learns from."""
    data = read_data(options, start.own_labels)
    device = _device(options.device)
    precision = Precision.of(options.precision, device)
    pattern = _pattern(options, start.checkpoint)
    problem_type = PROBLEM_OF_TARGET[options.target] if options.task == "classify" else None
    model, head = start.model(data.labels, problem_type, pattern, options.seed)
    if options.token_types == "case":
        tell_case(model)
    model.config.require_task(options.task)
    if options.dropout is not None:
        set_dropout(model, options.dropout)
        if options.dropout == 0 and device.type == "cpu":
            model.encoder.kernel = FlashAttention()
    if options.lora is not None:
        require_adaptable(start.checkpoint, options.task)
        adapt(model, options.lora, options.seed)
        head = f"{head}; low-rank differences of rank {options.lora} beside the encoder's layers"
    model.to(device)
    if options.gradient_checkpointing:
        recompute_activations(model)
    batching = Batching(
        options.batch_size, options.accumulate, options.seed, device, fresh_blocks=options.random_blocks == "fresh"
    )
    max_length = window_length(model.config, options.max_length)
    # Masks are filled in whole texts: there are no windows that would have to be those of the training.
    buckets = None if options.task == "fill-mask" else buckets_of(model.config, max_length)
    objective = create_objective(data, model.config, _tokenizer(start.checkpoint, model.config), options, batching)
    return _Ready(start.checkpoint, model, head, pattern, objective, device, precision, buckets)


def _train(trainer: Trainer[None, Any], progress: Progress, place: OutputFolder) -> None:
    """Train to the end, from the saved state if there is one, and take the best weights."""
    if trainer.resume():
        done = "finished already" if trainer.finished else f"going on after {trainer.position.total_steps} steps"
        progress.note(f"{place.state}: {done}")
    with StopSignals() as signals, explained(trainer, place.state):
        trainer.run(progress, signals.is_received)
    if signals.received is not None and not trainer.finished:
        raise TrainingStopped(
            f"stopped after {trainer.position.total_steps} steps, and saved: give the same command to go on",
            signals.received,
        )
    trainer.load_best()


def _contents(checkpoint: Checkpoint, options: FinetuneOptions) -> dict[str, Setting]:
    """Return the hashes of what a training starts from: files may change under the same names."""
    return {
        "contents of the checkpoint": checkpoint.sha256(),
        "contents of the training file": file_sha256(options.training_file),
        "contents of the evaluation file": file_sha256(options.evaluation_file),
    }


def _pattern(options: FinetuneOptions, checkpoint: Checkpoint) -> Pattern:
    """Return where the random blocks come from.

    Raises:
        ConfigError: Random blocks are to be drawn for a model that is measured and served without any.
    """
    pattern = get_pattern(options.pattern or checkpoint.default_pattern)
    if pattern.name == NoRandomPattern.name and options.random_blocks == "fresh":
        raise ConfigError("random-blocks: fresh ones cannot be drawn for the pattern none, which has no random blocks")
    return pattern


def _trainer(
    ready: _Ready, options: FinetuneOptions, place: OutputFolder, settings: Mapping[str, Setting], curve: Curve
) -> Trainer[None, Any]:
    objective = ready.objective
    steps = options.steps or options.epochs * objective.steps_per_epoch
    plan: Plan[None] = Plan(
        stages=(Stage(None, steps, decay=options.decay),),
        learning_rate=options.learning_rate,
        warm_up_steps=round(options.warm_up * steps),
        weight_decay=options.weight_decay,
        betas=(0.9, 0.999),
        steps_per_measurement=options.measure_every or objective.steps_per_epoch,
        patience=options.patience,
        keep_best=True,
        seconds_between_saves=options.save_every,
    )
    return Trainer(
        ready.model,
        objective,
        plan,
        place.state,
        seed=options.seed,
        precision=ready.precision,
        settings=settings,
        rate_factor=rate_factor if options.lora is not None else lambda name: 1.0,
        after_save=lambda trainer: curve.write_numbers(trainer.history),
        after_measurement=lambda trainer: curve.redraw(trainer.history),
    )


def _summary(ready: _Ready, options: FinetuneOptions) -> str:
    rows_per_step = options.batch_size * options.accumulate
    return (
        f"{options.training_file.name}: {len(ready.objective.rows)} model inputs, {ready.objective.steps_per_epoch} "
        f"steps of {rows_per_step} an epoch, on {ready.device.type} in {ready.precision.name}, random blocks of "
        f"{ready.pattern.name}; {ready.head}"
    )


def _device(name: DeviceName) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch finds no GPU")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _tokenizer(checkpoint: Checkpoint, config: BigBirdConfig) -> Tokenizer:
    """Return the tokenizer that the bundle will have."""
    with tempfile.TemporaryDirectory() as folder:
        file, ids = write_bundle_tokenizer(checkpoint, Path(folder))
        return RememberingTokenizer(
            file,
            ids.cls,
            ids.sep,
            checkpoint.config.pad_token_id,
            ids.mask,
            checkpoint.tokenizer.kind,
            mask_lstrip=checkpoint.tokenizer.mask_lstrip,
            added_tokens=checkpoint.tokenizer.added_tokens,
            token_types=config.token_types,
        ).load()
