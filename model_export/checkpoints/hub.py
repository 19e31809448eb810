"""Checkpoints by their id on the Hugging Face hub: `organisation/name`, with `@revision` after it where one is meant.

The only place of the export that uses the network, and only when it is asked for something that is no folder here.
Just the files that an export reads are downloaded, none of them a program, into the hub library's own cache.
"""

import os
import re
import sys
from pathlib import Path
from typing import NoReturn

from bigbird_inference.extras import install_command
from model_export.errors import CheckpointError

_HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?:@(?P<revision>\w[\w.-]*(?:/\w[\w.-]*)*))?", re.ASCII
)
_SMALL_FILES = ("config.json", "generation_config.json", "spiece.model", "tokenizer.json", "tokenizer_config.json")
# The same weights often stand there in several formats; the first of these is downloaded.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("flax_model.msgpack", "flax_model.msgpack.index.json", "flax_model-*-of-*.msgpack"),
)


def resolve(checkpoint: str) -> Path:
    """Return the folder of a checkpoint, downloaded first if need be.

    Args:
        checkpoint: A path, or the id of a model on the hub. What exists here wins; what cannot be an id is a path.

    Raises:
        CheckpointError: The hub does not give the model; the message says why.
    """
    path = Path(checkpoint)
    named = _HUB_ID.fullmatch(checkpoint)
    if path.exists() or named is None:
        return path
    return _downloaded(checkpoint, named["id"], named["revision"])


def _downloaded(checkpoint: str, hub_id: str, revision: str | None) -> Path:
    # Read by the library when it is imported. Without a terminal there are no progress bars.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        import huggingface_hub
    except ImportError:
        _refuse(checkpoint, f"the Hugging Face hub needs the extra `hub`: {install_command('hub')}")
    print(f"{checkpoint}: no folder of that name; asking the Hugging Face hub", file=sys.stderr)
    try:
        for patterns in _WEIGHTS:
            allowed = [*_SMALL_FILES, *patterns]
            folder = Path(huggingface_hub.snapshot_download(hub_id, revision=revision, allow_patterns=allowed))
            revision = folder.name  # the commit: what is asked next belongs to the same one
            if any(any(folder.glob(pattern)) for pattern in patterns):
                break
    except Exception as error:  # the library lets its network client's errors through, which differ by version
        _refuse(checkpoint, _reason(error))
    return folder


def _reason(error: Exception) -> str:
    """Return what happened, in a few words; the library's messages are whole paragraphs."""
    from huggingface_hub import errors

    match error, error.__cause__:
        case errors.GatedRepoError(), _:
            return "the hub gives this model only to accounts that accepted its terms (log in with `hf auth login`)"
        case errors.RepositoryNotFoundError(), _:
            return "the hub has no such model, or it is private"
        case errors.RevisionNotFoundError(), _:
            return "the hub has the model, but not this revision"
        case errors.LocalEntryNotFoundError(), errors.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set and the model is not in the cache"
        case (errors.HfHubHTTPError(response=answer), _) | (_, errors.HfHubHTTPError(response=answer)):
            return f"the hub answered with status {answer.status_code}"
        case errors.LocalEntryNotFoundError(), _:
            return "the hub cannot be reached and the model is not in the cache"
        case errors.HFValidationError(), _:
            return "this cannot be a model's id on the hub"
        case _:
            message = str(error).splitlines() or [""]
            return f"it could not be downloaded from the hub: {type(error).__name__}: {message[0][:200]}"


def _refuse(checkpoint: str, reason: str) -> NoReturn:
    raise CheckpointError(
        f"{checkpoint}: is not a folder, and {reason}; a folder that you download yourself can be given by its path"
    )
