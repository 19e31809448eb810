"""Checkpoints by their id on the Hugging Face hub: `organisation/name`, `organisation/name@revision:folder/in/it`.

The only place of the export that uses the network, and only when it is asked for something that is not a folder here.
Just configuration, tokenizer and weights are downloaded, and no program, into the hub library's own cache. Where that
is, which hub is asked and whose token it gets is the library's business (`HF_HOME`, `HF_HUB_CACHE`, `HF_ENDPOINT`,
`HF_TOKEN`, `HF_HUB_OFFLINE`); a token goes to the hub alone, not to the place that it sends downloads to.
"""

import hashlib
import logging
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from bigbird_inference.extras import install_command
from model_export.errors import CheckpointError

# A colon, as in git, because neither ids nor revisions have one: `a/b/c` alone may be a path that was mistyped.
_HUB_ID = re.compile(
    r"(?P<id>[A-Za-z0-9][\w.-]*(?:/[A-Za-z0-9][\w.-]*)?)(?:@(?P<revision>\w[\w.-]*(?:/\w[\w.-]*)*))?"
    r"(?::(?P<folder>\w[\w.-]*(?:/\w[\w.-]*)*))?",
    re.ASCII,
)
_TOKENIZER = (
    "spiece.model",
    "tokenizer.json",
    "tokenizer_config.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "added_tokens.json",
    "special_tokens_map.json",
)
_SMALL_FILES = ("config.json", "generation_config.json", "adapter_config.json", *_TOKENIZER)
# The same weights often stand there in several formats; the first of these is downloaded.
_WEIGHTS = (
    ("model.safetensors", "model.safetensors.index.json", "model-*-of-*.safetensors"),
    ("pytorch_model.bin", "pytorch_model.bin.index.json", "pytorch_model-*-of-*.bin"),
    ("flax_model.msgpack", "flax_model.msgpack.index.json", "flax_model-*-of-*.msgpack"),
    ("adapter_model.safetensors",),
    ("adapter_model.bin",),
)
# What the cache calls the contents of a large file: git-lfs' hash of them.
_SHA256 = re.compile(r"[0-9a-f]{64}")
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN"


def resolve(checkpoint: str, *, weights: bool = True) -> Path:
    """Return the folder of a checkpoint, downloaded first if need be.

    Args:
        checkpoint: A path, or the id of a model on the hub. What exists here wins; what cannot be an id is a path.
        weights: Whether its weights are needed; without them, the files of its configuration and tokenizer are there.

    Raises:
        CheckpointError: The hub does not give the model, or not whole; the message says why.
    """
    path = Path(checkpoint)
    named = _HUB_ID.fullmatch(checkpoint)
    if path.exists() or named is None:
        return path
    formats = _WEIGHTS if weights else ((),)
    folder = _downloaded(checkpoint, named["id"], named["revision"], named["folder"], formats)
    _check_contents(checkpoint, folder)
    return folder


def _downloaded(
    checkpoint: str, hub_id: str, revision: str | None, inside: str | None, formats: Sequence[Sequence[str]]
) -> Path:
    # Read by the library when it is imported. Without a terminal there are no progress bars; and large files come by
    # plain HTTP, which needs no client with a cache and log files of its own.
    os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault("HF_HUB_DISABLE_XET", "1")
    if not sys.stderr.isatty():
        os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    try:
        from huggingface_hub import snapshot_download
    except ImportError:
        _refuse(checkpoint, f"the Hugging Face hub needs the extra `hub`: {install_command('hub')}")
    for handler in logging.getLogger("huggingface_hub").handlers:
        handler.addFilter(_hide_queries)
    print(f"{checkpoint}: no folder of that name; asking the Hugging Face hub", file=sys.stderr)
    within = "" if inside is None else f"{inside}/"
    try:
        for patterns in formats:
            allowed = [within + name for name in (*_SMALL_FILES, *patterns)]
            snapshot = Path(snapshot_download(hub_id, revision=revision, allow_patterns=allowed))
            revision = snapshot.name  # the commit: what is asked next belongs to the same one
            folder = snapshot / within
            if not folder.is_dir() or any(any(folder.glob(pattern)) for pattern in patterns):
                break
    except Exception as error:  # the library lets its network client's errors through, which differ by version
        _refuse(checkpoint, _reason(error))
    if not folder.is_dir():
        what = "no file that an export reads" if inside is None else f"no folder {inside} with files that it reads"
        _refuse(checkpoint, f"the hub has the model, but {what} in it")
    return folder


def _check_contents(checkpoint: str, folder: Path) -> None:
    """Check large files against their hashes; the library compares sizes only, and the cache may be old."""
    for file in sorted(folder.iterdir()):
        content = file.resolve()
        if not _SHA256.fullmatch(content.name) or content.parent.name != "blobs":
            continue  # a small file, or a cache without links
        with content.open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != content.name:
                raise CheckpointError(
                    f"{checkpoint}: {file.name} is not what the hub has: its hash is another one; remove {content} and "
                    "try again"
                )


def _reason(error: Exception) -> str:
    """Return what happened and what to do, in a few words; the library's messages are whole paragraphs."""
    from huggingface_hub import errors

    match error, error.__cause__:
        case errors.GatedRepoError(), _:
            return (
                "the hub gives this model only to accounts that accepted its terms (accept them on its page, then "
                f"{_LOG_IN})"
            )
        case errors.RepositoryNotFoundError(), _:
            return f"the hub has no such model, or it is private ({_LOG_IN})"
        case errors.RevisionNotFoundError(), _:
            return "the hub has the model, but not this revision"
        case (errors.LocalEntryNotFoundError(), errors.OfflineModeIsEnabled()) | (errors.OfflineModeIsEnabled(), _):
            return "HF_HUB_OFFLINE is set and the model is not in the cache, or not whole (download it once without)"
        case _, errors.FileMetadataError():
            return "what answers there is no hub (look at HF_ENDPOINT and at the proxy)"
        case (errors.HfHubHTTPError(response=answer), _) | (_, errors.HfHubHTTPError(response=answer)):
            return _reason_of_status(answer.status_code, answer.headers.get("Retry-After", ""))
        case errors.LocalEntryNotFoundError(), _:
            return "the hub cannot be reached and the model is not in the cache, or not whole"
        case errors.HFValidationError(), _:
            return "this cannot be a model's id on the hub"
        case _:
            message = _without_queries(str(error)).splitlines() or [""]
            return f"it could not be downloaded from the hub (try again): {type(error).__name__}: {message[0][:200]}"


def _reason_of_status(status: int, seconds: str) -> str:
    """Return what an error of the hub means that has no type of its own; `seconds` as Retry-After has them."""
    if status == 401:
        return "the hub does not know the token that it was sent (renew HF_TOKEN, or `hf auth login`)"
    if status == 403:
        return "the hub refuses with status 403 (the token must have the right to read this model)"
    if status == 429:
        when = f"in {seconds} seconds" if seconds.isascii() and seconds.isdigit() else "later"
        return f"the hub was asked too often from here (try again {when}; who is logged in may ask more often)"
    again = " (try again later)" if status >= 500 else ""
    return f"the hub answered with status {status}{again}"


def _without_queries(message: str) -> str:
    """Leave out the part of addresses that lets whoever reads it download the file for some time."""
    return re.sub(r"\?[^\s')]+", "?...", message)


def _hide_queries(record: logging.LogRecord) -> bool:
    """Change what the library logs when it tries something again."""
    record.msg, record.args = _without_queries(record.getMessage()), None
    return True


def _refuse(checkpoint: str, reason: str) -> NoReturn:
    raise CheckpointError(
        f"{checkpoint}: is not a folder, and {reason}; a folder that you download yourself can be given by its path"
    )
