"""Which source a checkpoint folder comes from, told by its contents.

config.json + weights of PyTorch or Flax   Hugging Face; of a BigBird, or of a BERT that becomes one (`bert`)
a TensorFlow checkpoint, names bert/...    google-research
a TensorFlow 2 object checkpoint           Model Garden
"""

from dataclasses import replace
from pathlib import Path
from types import ModuleType

from model_export.checkpoints import google, huggingface, model_garden
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, check_task
from model_export.checkpoints.files import check_folder, links_followed
from model_export.checkpoints.labels import LABELLED_TASKS
from model_export.errors import CheckpointError, ConfigError
from model_export.nn.heads import HEADS

# The TensorFlow sources first: their folders may hold a config.json of their own.
_SOURCES: tuple[ModuleType, ...] = (google, model_garden, huggingface)


def read_checkpoint(folder: Path, options: CheckpointOptions = CheckpointOptions()) -> Checkpoint:  # noqa: B008 - frozen
    """Find out what a folder holds, read its configuration and find its files.

    Args:
        folder: The checkpoint.
        options: What is said about it.

    Raises:
        CheckpointError: The folder is not a checkpoint, a file is missing or unreadable, or the task cannot be told.
        ConfigError: The configuration cannot work, or does not fit the task.
    """
    check_folder(folder)
    if options.task is not None and options.task not in HEADS:
        raise CheckpointError(f"task: {options.task!r} is not one of {', '.join(HEADS)}")
    with links_followed(options.follow_links):
        source = next(source for source in _SOURCES if source.recognises(folder))
        checkpoint: Checkpoint = source.read(folder, options)
    if options.positions is not None and checkpoint.positions is None:
        raise CheckpointError(
            f"{folder}: is a BigBird, which has the positions that it was trained with; leave --positions out"
        )
    if options.labels is not None and checkpoint.task not in LABELLED_TASKS:
        raise CheckpointError(f"{folder}: is for {checkpoint.task}, whose answers have no labels; leave --labels out")
    try:
        check_task(checkpoint.config, checkpoint.task)
    except ConfigError as error:
        raise ConfigError(f"{folder}: {error}") from error
    return replace(checkpoint, labels=options.labels)
