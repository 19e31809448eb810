"""TensorFlow checkpoints on disk: which files make one up, its variables' shapes, its tensors.

A checkpoint is a prefix: `PREFIX.index`, a sorted table of variables, and `PREFIX.data-00000-of-0000N`, their bytes.
TensorFlow 1 (`Saver`) and TensorFlow 2 (object checkpoints, SavedModels) write the same format; the latter add the
graph of objects that the variables hang on. TensorFlow reads it, in a process of its own (`tensorflow_process`).
"""

import importlib.util
import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PureWindowsPath
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from bigbird_inference.extras import install_command
from model_export.checkpoints import tensorflow_process
from model_export.checkpoints.files import optional_file, regular_file
from model_export.errors import CheckpointError, first_few

INDEX_SUFFIX = ".index"
STATE_FILE = "checkpoint"
SAVED_MODEL_FILE = "saved_model.pb"
SAVED_MODEL_PREFIX = "variables/variables"
INSTALL = install_command("export", "cpu", "tensorflow")

# The index ends like every table of LevelDB: a footer of 48 bytes, the last 8 of which are this number.
_FOOTER_BYTES = 48
_MAGIC = 0xDB4775248B80FB57.to_bytes(8, "little")
_MAX_STATE_BYTES = 2**20
_MAX_INDEX_BYTES = 2**26
_NUMBERED = re.compile(r"(?P<stem>.*)-(?P<number>\d+)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class TensorFlowFiles:
    """The files of one checkpoint, not read yet.

    Attributes:
        prefix: What their names begin with, as a path.
        files: The index and the data files.
    """

    prefix: Path
    files: tuple[Path, ...]

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Return the shapes of the model's variables by name or by path of objects; training state is set aside.

        Raises:
            CheckpointError: TensorFlow is not installed, or cannot read the checkpoint.
        """
        with tempfile.TemporaryDirectory() as folder:
            result = self._read(Path(folder))
        return {name: tuple(shape) for name, shape in result["shapes"].items()}

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return the model's variables by name or by path of objects.

        Raises:
            CheckpointError: TensorFlow is not installed, or cannot read the checkpoint.
        """
        with tempfile.TemporaryDirectory() as folder:
            self._read(Path(folder), "all")
            try:
                return load_file(Path(folder) / tensorflow_process.TENSORS_FILE)
            except (OSError, SafetensorError) as error:
                raise CheckpointError(f"{self.prefix}: its tensors cannot be taken over: {error}") from error

    def _read(self, output: Path, *mode: str) -> dict[str, Any]:
        """Run the process that reads; return what it has to say."""
        if importlib.util.find_spec("tensorflow") is None:
            raise CheckpointError(f"{self.prefix}: reading it needs TensorFlow, which is not installed: {INSTALL}")
        data_bytes = sum(file.stat().st_size for file in self.files[1:])
        script = Path(tensorflow_process.__file__)
        finished = subprocess.run(
            # -P: the script's folder must not become a place to import from.
            [sys.executable, "-P", str(script), str(self.prefix.absolute()), str(output), str(data_bytes), *mode],
            env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
        )
        try:
            result = json.loads((output / tensorflow_process.RESULT_FILE).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            result = {"error": f"TensorFlow ended with status {finished.returncode}"}
        if "error" in result:
            raise CheckpointError(f"{self.prefix}: cannot be read as a TensorFlow checkpoint: {result['error']}")
        return dict(result)


def indexes(folder: Path) -> list[str]:
    """Return the names of the index files that a folder holds, without their suffix; a SavedModel's is below it."""
    if not folder.is_dir():
        return []
    names = sorted(entry.name.removesuffix(INDEX_SUFFIX) for entry in folder.iterdir() if entry.suffix == INDEX_SUFFIX)
    if not names and (folder / SAVED_MODEL_FILE).exists():
        names = [SAVED_MODEL_PREFIX] if (folder / f"{SAVED_MODEL_PREFIX}{INDEX_SUFFIX}").exists() else []
    return names


def holds_object_graph(folder: Path, name: str) -> bool:
    """Tell from an index's bytes whether TensorFlow 2 wrote it; False for a file that cannot be read."""
    try:
        with regular_file(folder, f"{name}{INDEX_SUFFIX}").open("rb") as stream:
            return tensorflow_process.OBJECT_GRAPH.encode() in stream.read(_MAX_INDEX_BYTES)
    except (OSError, CheckpointError):
        return False


def find(folder: Path) -> TensorFlowFiles:
    """Find the checkpoint of a folder: the one that its `checkpoint` file names, else the only or newest one.

    Raises:
        CheckpointError: There is none, several without a way to choose, or its files are missing or no table.
    """
    name = _named(folder) or _newest(folder, indexes(folder))
    index = regular_file(folder, f"{name}{INDEX_SUFFIX}")
    with index.open("rb") as stream:
        size = stream.seek(0, os.SEEK_END)
        stream.seek(max(size - len(_MAGIC), 0))
        if size < _FOOTER_BYTES or stream.read() != _MAGIC:
            raise CheckpointError(f"{index}: is not an index of a TensorFlow checkpoint, or it is cut off")
    return TensorFlowFiles(folder / name, (index, *_data_files(folder, name)))


def _named(folder: Path) -> str | None:
    """Return the prefix that the `checkpoint` file names, if the folder has it; the path may be another machine's."""
    state = optional_file(folder, STATE_FILE)
    if state is None:
        return None
    with state.open("rb") as stream:
        text = stream.read(_MAX_STATE_BYTES).decode("utf-8", errors="replace")
    entry = re.search(r'^\s*model_checkpoint_path:\s*"([^"\n]*)"', text, re.MULTILINE)
    name = PureWindowsPath(entry[1]).name if entry else ""  # takes both kinds of separators
    return name if name and name in indexes(folder) else None


def _newest(folder: Path, names: Sequence[str]) -> str:
    if not names:
        raise CheckpointError(f"{folder}: holds no {INDEX_SUFFIX} file of a TensorFlow checkpoint")
    numbered = [match for match in map(_NUMBERED.fullmatch, names) if match]
    if len(names) > 1 and (len(numbered) < len(names) or len({match["stem"] for match in numbered}) > 1):
        raise CheckpointError(
            f"{folder}: holds several TensorFlow checkpoints: {', '.join(first_few([*map(repr, names)]))}; "
            f"keep one, or name it in the file {STATE_FILE}"
        )
    return max(names, key=lambda name: int(name.rpartition("-")[2]) if len(names) > 1 else 0)


def _data_files(folder: Path, name: str) -> tuple[Path, ...]:
    pattern = re.compile(re.escape(Path(name).name) + r"\.data-\d{5}-of-(\d{5})")
    counts = {int(match[1]) for entry in (folder / name).parent.iterdir() if (match := pattern.fullmatch(entry.name))}
    if len(counts) != 1:
        problem = "missing" if not counts else "of more than one checkpoint"
        raise CheckpointError(f"{folder / name}.data-*: {problem}")
    total = counts.pop()
    return tuple(regular_file(folder, f"{name}.data-{number:05d}-of-{total:05d}") for number in range(total))
