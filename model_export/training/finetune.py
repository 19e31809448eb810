"""From a checkpoint and two files to a fine-tuned checkpoint: the stages of `bigbird finetune`, one call each.

checkpoint -> files -> model -> encoded rows -> training, measured and saved -> best weights -> checkpoint and card

<output>/config.json, model.safetensors, spiece.model, README.md   the checkpoint, which `bigbird export` takes
<output>/training/state, state.best                                from which a stopped training goes on
<output>/training/curve.jsonl, curve.png, log.txt                  what happened
"""

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from model_export.checkpoints.checkpoint import Checkpoint
from model_export.checkpoints.huggingface import (
    CONFIG_FILE,
    SENTENCEPIECE_FILE,
    TOKENIZER_CONFIG_FILE,
    save_checkpoint,
)
from model_export.errors import ConfigError
from model_export.export.tokenizer import write_tokenizer
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from model_export.training.card import Card
from model_export.training.curve import draw, write_json_lines
from model_export.training.data import PROBLEM_OF_TARGET, read_data
from model_export.training.file_objective import Batching, FileObjective
from model_export.training.gradient_checkpointing import recompute_activations
from model_export.training.history import Measurement
from model_export.training.objectives import create_objective, window_length
from model_export.training.options import DeviceName, FinetuneOptions
from model_export.training.plan import Plan, Stage
from model_export.training.precision import Precision
from model_export.training.progress import Progress
from model_export.training.served_task import RememberingTokenizer
from model_export.training.start import Start
from model_export.training.state_file import Setting
from model_export.training.trainer import Trainer
from service.bundle import file_sha256
from service.tokenization.tokenizer import Tokenizer

WORK_FOLDER = "training"
_STATE_FILE = "state"
_NUMBERS_FILE = "curve.jsonl"
_CARD_FILE = "README.md"
_USUAL_SPECIAL_TOKENS = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}


@dataclass(frozen=True, slots=True)
class Finetuned:
    """What came out.

    Attributes:
        best: The measurement whose weights were kept.
        score_name: What it measured.
        pattern: Random blocks with which to export.
    """

    best: Measurement
    score_name: str
    pattern: str


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
    """
    _check_output(folder, output)
    start = Start.find(folder, options.task)
    data = read_data(options, start.own_labels)
    device = _device(options.device)
    precision = Precision.of(options.precision, device)
    pattern = get_pattern(options.pattern or start.checkpoint.default_pattern)
    problem_type = PROBLEM_OF_TARGET[options.target] if options.task == "classify" else None
    model, head = start.model(data.labels, problem_type, pattern, options.seed)
    model.to(device)
    if options.gradient_checkpointing:
        recompute_activations(model)
    batching = Batching(
        options.batch_size, options.accumulate, options.seed, device, fresh_blocks=options.random_blocks == "fresh"
    )
    objective = create_objective(data, model.config, _tokenizer(start.checkpoint), options, batching)

    work = output / WORK_FOLDER
    work.mkdir(parents=True, exist_ok=True)
    settings = {**dict(options.settings()), "pattern": pattern.name}
    trainer = _trainer(model, objective, options, work, precision, settings | _contents(start.checkpoint, options))
    progress = Progress(options.task, work / "log.txt")
    progress.note(_summary(objective, options, device, precision, head))
    try:
        _train(trainer, progress, work)
    finally:
        progress.close()

    best = trainer.history.best
    assert best is not None
    draw(trainer.history, work / "curve.png", title=f"{output.name} ({options.task})", score_name=objective.score_name)
    card = Card(
        name=output.resolve().name,
        task=options.task,
        source=name or folder.resolve().name,
        head=head,
        files={"training": options.training_file, "evaluation": options.evaluation_file},
        pattern=pattern.name,
        random_blocks=options.random_blocks,
        settings={**settings, "precision": precision.name},
        steps=trainer.position.total_steps,
        seconds=trainer.position.seconds,
        best=best,
        labels=model.config.labels if options.task in ("classify", "ner") else (),
        max_length=window_length(model.config, options.max_length),
    )
    _write_checkpoint(model, start.checkpoint, options.task, output, card)
    return Finetuned(best, objective.score_name, pattern.name)


def _train(trainer: Trainer[None, Any], progress: Progress, work: Path) -> None:
    """Train to the end, from the saved state if there is one, and take the best weights."""
    if trainer.resume():
        done = "finished already" if trainer.finished else f"going on after {trainer.position.total_steps} steps"
        progress.note(f"{work / _STATE_FILE}: {done}")
    trainer.run(progress)
    trainer.load_best()
    write_json_lines(trainer.history, work / _NUMBERS_FILE)


def _contents(checkpoint: Checkpoint, options: FinetuneOptions) -> dict[str, Setting]:
    """Return the hashes of what a training starts from: files may change under the same names."""
    return {
        "contents of the checkpoint": checkpoint.sha256(),
        "contents of the training file": file_sha256(options.training_file),
        "contents of the evaluation file": file_sha256(options.evaluation_file),
    }


def _check_output(folder: Path, output: Path) -> None:
    """Make sure that nobody's checkpoint is written over.

    Raises:
        ConfigError: The output is the start itself, or holds what is no work of this command.
    """
    if output.resolve() == folder.resolve():
        raise ConfigError(f"output: {output} is the checkpoint to start from")
    if output.exists() and not output.is_dir():
        raise ConfigError(f"output: {output} is not a folder")
    if output.exists() and any(output.iterdir()) and not (output / WORK_FOLDER).is_dir():
        raise ConfigError(f"output: {output} is not empty, and nothing in it comes from a fine-tuning")


def _trainer(
    model: BigBird,
    objective: FileObjective[Any],
    options: FinetuneOptions,
    work: Path,
    precision: Precision,
    settings: Mapping[str, Setting],
) -> Trainer[None, Any]:
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
        model,
        objective,
        plan,
        work / _STATE_FILE,
        seed=options.seed,
        precision=precision,
        settings=settings,
        after_save=lambda trainer: write_json_lines(trainer.history, work / _NUMBERS_FILE),
    )


def _summary(
    objective: FileObjective[Any], options: FinetuneOptions, device: torch.device, precision: Precision, head: str
) -> str:
    rows_per_step = options.batch_size * options.accumulate
    return (
        f"{options.training_file.name}: {len(objective.rows)} model inputs, {objective.steps_per_epoch} steps of "
        f"{rows_per_step} an epoch, on {device.type} in {precision.name}; {head}"
    )


def _device(name: DeviceName) -> torch.device:
    if name == "cuda" and not torch.cuda.is_available():
        raise ConfigError("device: cuda was asked for, but torch finds no GPU")
    return torch.device("cuda" if name == "cuda" or (name == "auto" and torch.cuda.is_available()) else "cpu")


def _tokenizer(checkpoint: Checkpoint) -> Tokenizer:
    """Return the tokenizer that the bundle will have."""
    config = checkpoint.config
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "tokenizer.model"
        ids = write_tokenizer(
            checkpoint.tokenizer, checkpoint.files[-1], file, checkpoint.special_tokens, config.vocab_size
        )
        return RememberingTokenizer(file, ids.cls, ids.sep, config.pad_token_id, ids.mask).load()


def _write_checkpoint(model: BigBird, source: Checkpoint, task: str, output: Path, card: Card) -> None:
    """Write the files of the checkpoint beside their places, then put them there, the configuration last."""
    with tempfile.TemporaryDirectory(prefix=".writing-", dir=output) as folder:
        writing = Path(folder)
        save_checkpoint(model, task, writing)
        (writing / SENTENCEPIECE_FILE).write_bytes(source.tokenizer)
        if source.special_tokens != _USUAL_SPECIAL_TOKENS:
            tokens = {f"{role}_token": piece for role, piece in source.special_tokens.items()}
            (writing / TOKENIZER_CONFIG_FILE).write_text(json.dumps(tokens, indent=2) + "\n", encoding="utf-8")
        (writing / _CARD_FILE).write_text(card.text(), encoding="utf-8")
        mode = (writing / CONFIG_FILE).stat().st_mode
        for file in sorted(writing.iterdir(), key=lambda file: file.name == CONFIG_FILE):
            file.chmod(mode)  # safetensors makes its files readable for their owner alone
            os.replace(file, output / file.name)
