"""One line for each thing that ends a training: what happened, what helps, and what is left."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from bigbird_inference.errors import InferenceFailed
from finetuning.trainer import Trainer, TrainingFailed

# What torch says of a computer without memory; it has a class for GPUs alone.
_OUT_OF_MEMORY = "can't allocate memory"


@contextlib.contextmanager
def explained(trainer: Trainer[Any, Any], state_file: Path) -> Iterator[None]:
    """Give an expected failure its line; others pass as they are.

    Args:
        trainer: What is running.
        state_file: Where its state is saved.

    Raises:
        TrainingFailed: The training cannot go on.
    """
    try:
        yield
    except TrainingFailed as error:
        raise TrainingFailed(f"{error}; {_what_is_left(trainer, state_file)}") from error
    except InferenceFailed as error:
        raise TrainingFailed(
            f"the model cannot be measured after step {trainer.position.total_steps}: {error}: "
            f"try a lower learning rate or a longer warm-up; {_what_is_left(trainer, state_file)}"
        ) from error
    except (RuntimeError, MemoryError) as error:
        known = isinstance(error, torch.OutOfMemoryError | MemoryError) or _OUT_OF_MEMORY in str(error)
        if not known:
            raise
        raise TrainingFailed(
            "out of memory: try a smaller --batch-size with --accumulate, --gradient-checkpointing or a shorter "
            f"--max-length; {_what_is_left(trainer, state_file)}"
        ) from error


def _what_is_left(trainer: Trainer[Any, Any], state_file: Path) -> str:
    if not state_file.exists():
        return "nothing was saved"
    best = f", the best weights in {trainer.best_file}" if trainer.best_file.exists() else ""
    return f"the last saved state is in {state_file}{best}; other settings need another --output"
