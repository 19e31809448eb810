"""Files of a checkpoint folder, found without leaving it."""

import json
import os
import re
import shlex
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from bigbird_inference.bundle import looks_like_checkpoint
from bigbird_inference.bundle_files import leads_out
from bigbird_inference.manifest import MANIFEST_FILE
from bigbird_inference.tokenization.vocabulary import MAX_VOCABULARY_BYTES
from model_export.checkpoints.failed_downloads import not_the_contents
from model_export.checkpoints.training_shards import how_to_consolidate
from model_export.errors import CheckpointError, first_few

NOT_UTF8 = "is not text in UTF-8; save it again as such"
# The largest JSON of a checkpoint is a tokenizer.json: a few megabytes for 50,000 pieces.
MAX_JSON_BYTES = 64 * 2**20
# In bytes, of the file systems in use.
_LONGEST_NAME = 255
_links_followed: ContextVar[bool] = ContextVar("links_followed", default=False)
_NUMBERS = re.compile(r"(\d+)")


def check_folder(folder: Path) -> None:
    """Check that a folder holds a checkpoint, as far as the names of its files tell; needs no torch.

    Raises:
        CheckpointError: It does not; the message says what it is instead.
    """
    if looks_like_checkpoint(folder):
        return
    if not folder.is_dir():
        problem = "is not a folder"
        if folder.exists():
            problem += f"; give the one that the checkpoint lies in: {folder.parent}"
    elif (folder / MANIFEST_FILE).exists():
        problem = f"is a bundle already, not a checkpoint; serve it: bigbird serve --models {shlex.quote(str(folder))}"
    elif in_parts := how_to_consolidate(folder):
        problem = f"{in_parts}, with its config.json and tokenizer there"
    elif found := _checkpoints_in(folder):
        problem = f"is not a checkpoint, but holds some; give one of them: {', '.join(map(str, found))}"
    else:
        optional_file(folder, "config.json")  # tells of a link that leads nowhere
        problem = "is not a checkpoint: config.json: missing, and there is no TensorFlow checkpoint either"
    raise CheckpointError(f"{folder}: {problem}")


def _checkpoints_in(folder: Path) -> list[Path]:
    """Return the checkpoints in a folder, those of a training in the order of their steps."""
    # Below `snapshots` in the cache of the hub.
    found = [path for pattern in ("*", "snapshots/*") for path in folder.glob(pattern) if looks_like_checkpoint(path)]
    return sorted(found, key=lambda path: [int(part) if part.isdigit() else part for part in _NUMBERS.split(path.name)])


@contextmanager
def links_followed(asked: bool) -> Iterator[None]:
    """While a checkpoint is read: let links lead out of its folder, if the person who exports asked for that."""
    token = _links_followed.set(asked)
    try:
        yield
    finally:
        _links_followed.reset(token)


def regular_file(folder: Path, name: str) -> Path:
    """Return the path of a file of the folder.

    Symbolic links may lead where `bigbird_inference.bundle_files` lets them, or anywhere while `links_followed`.

    Args:
        folder: The checkpoint.
        name: The file's name there.

    Raises:
        CheckpointError: It is missing, is not a regular file, lies outside the folder, or holds what stands in its
            place: a Git LFS pointer, or the answer of a server that did not give it.
    """
    path = folder / name
    printable = str(path) if str(path).isprintable() else repr(str(path))
    try:
        target = path.resolve(strict=True)
        mode = target.stat().st_mode
        problem = leads_out(folder, target)
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(f"{printable}: {_absent(path)}") from None
    except (OSError, RuntimeError, ValueError) as error:  # a loop of links, no permission, a name that cannot be
        raise CheckpointError(f"{printable}: cannot be read: {error}") from error
    if problem is not None and not _links_followed.get():
        raise CheckpointError(f"{printable}: {problem}, or let `bigbird export --follow-links` read what they lead to")
    if not stat.S_ISREG(mode):
        raise CheckpointError(f"{printable}: is not a regular file")
    if (problem := not_the_contents(path)) is not None:
        raise CheckpointError(f"{printable}: {problem}")
    return path


def _absent(path: Path) -> str:
    if not path.is_symlink():
        return "missing"
    return f"is a link that leads nowhere, to {str(path.readlink())!r:.200}; copy or download the file itself again"


def optional_file(folder: Path, name: str) -> Path | None:
    """Return the path of a file of the folder, or None where nothing has that name.

    Raises:
        CheckpointError: It is not a regular file, lies outside the folder, or is a link that leads nowhere.
    """
    path = folder / name
    if not path.is_symlink() and not path.exists():
        return None
    return regular_file(folder, name)


def weight_files(folder: Path, whole: str, index: str) -> tuple[Path, ...] | None:
    """Return the files that hold the weights: one file, or the shards that an index lists; None without either.

    Args:
        folder: The checkpoint.
        whole: Name of the file that holds all weights.
        index: Name of the JSON file whose `weight_map` names a shard for each tensor.

    Raises:
        CheckpointError: The index cannot be read, names files elsewhere, or names files that are missing.
    """
    one = optional_file(folder, whole)
    if one is not None:
        return (one,)
    index_path = optional_file(folder, index)
    if index_path is None:
        return None
    weight_map = read_json(index_path).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{index_path}: has no weight_map")
    for name in weight_map.values():
        if not isinstance(name, str) or not _is_file_name(name):
            raise CheckpointError(f"{index_path}: {name!r:.80} is not a file beside it")
    names = sorted(set(weight_map.values()))
    missing = [name for name in names if not os.path.lexists(folder / name)]
    if missing:
        raise CheckpointError(f"{folder}: shards named in {index} are missing: {', '.join(first_few(missing))}")
    return tuple(regular_file(folder, name) for name in names)


def _is_file_name(name: str) -> bool:
    return name == Path(name).name and name != ".." and name.isprintable() and len(os.fsencode(name)) <= _LONGEST_NAME


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a JSON file; a byte order mark, which some editors write, is passed over.

    Raises:
        CheckpointError: It is missing, unreadable, too large, or no JSON object in UTF-8.
    """
    if path.exists() and not path.is_file():  # opening a pipe would wait for ever
        raise CheckpointError(f"{path}: is not a regular file")
    try:
        text = _read(path, MAX_JSON_BYTES).decode("utf-8-sig")
        if not text.strip():
            raise CheckpointError(f"{path}: cannot be read as JSON: it is empty; download or copy it again")
        values = json.loads(text)
    except FileNotFoundError:
        raise CheckpointError(f"{path}: missing") from None
    except RecursionError:
        raise CheckpointError(f"{path}: cannot be read as JSON: it is nested too deeply") from None
    except UnicodeDecodeError:
        raise CheckpointError(f"{path}: {NOT_UTF8}") from None
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{path}: cannot be read as JSON: {error}") from error
    if not isinstance(values, dict):
        raise CheckpointError(f"{path}: is not a JSON object")
    return values


def read_vocabulary(path: Path) -> bytes:
    """Return the contents of a SentencePiece model's file.

    Raises:
        CheckpointError: It is unreadable or too large.
    """
    try:
        return _read(path, MAX_VOCABULARY_BYTES)
    except OSError as error:
        raise CheckpointError(f"{path}: cannot be read: {error.strerror}") from error


def _read(path: Path, most_bytes: int) -> bytes:
    with path.open("rb") as stream:
        content = stream.read(most_bytes + 1)
    if len(content) > most_bytes:
        raise CheckpointError(f"{path}: is larger than {most_bytes} bytes")
    return content
