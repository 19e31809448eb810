"""A checkpoint from TensorFlow taken the whole way, and what its own code answered."""

import functools
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from bigbird_inference.manifest import Attention
from bigbird_inference.runtime.session import Batch, Outputs
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.tensorflow_files import TensorFlowFiles
from model_export.export.signature import signature
from model_export.patterns.registry import get_pattern
from tests.model_export.checkpoints.exported_fixtures import sessions

Array = npt.NDArray[np.generic]


@pytest.fixture(scope="module", autouse=True)
def one_process_for_each_checkpoint() -> Iterator[None]:
    """Remember what TensorFlow has read, shapes and tensors at once: its process needs seconds to start."""
    with pytest.MonkeyPatch.context() as patch:
        read = functools.cache(TensorFlowFiles.tensors)
        patch.setattr(TensorFlowFiles, "tensors", lambda self: dict(read(self)))
        patch.setattr(
            TensorFlowFiles, "shapes", lambda self: {name: tuple(tensor.shape) for name, tensor in read(self).items()}
        )
        yield


class TensorFlowFixture:
    """A bundle's sessions, and the reference outputs of some documents by their length.

    Args:
        checkpoint: A folder below `tests/fixtures` with a `references.npz`.
        folder: An empty folder to work in.
        task: The task; None for the checkpoint's own.
        buckets: Padded lengths, the longest full one first.
        whole: Whether a bundle is made and onnxruntime is asked; otherwise torch is (`exported_fixtures`).
    """

    def __init__(
        self, checkpoint: Path, folder: Path, task: str | None, buckets: tuple[int, ...], *, whole: bool
    ) -> None:
        found = read_checkpoint(checkpoint, CheckpointOptions(task))
        self.kind, self.pattern = found.weights.kind, found.default_pattern
        self._takes_positions = signature(found.task, found.config).takes_positions
        self._buckets = buckets
        self._sessions = sessions(checkpoint, task, folder / "bundle", buckets if whole else ())
        with np.load(checkpoint / "references.npz") as references:
            self.references: Mapping[str, Array] = dict(references)
        lengths = sorted({int(key.partition("/")[0]) for key in self.references})
        self.lengths = [length for length in lengths if length <= max(buckets)]

    def expected(self, length: int, output: str) -> Array:
        return self.references[f"{length}/{output}"]

    def positions(self, length: int) -> Array:
        return self.references[f"{length}/positions"]

    def attention(self, length: int) -> Attention:
        return "full" if length <= self._buckets[0] else "block_sparse"

    def run(self, length: int) -> Outputs:
        """Ask for a document in its bucket, the padding filled with arbitrary tokens."""
        bucket = next(bucket for bucket in self._buckets if bucket >= length)
        noise = np.random.default_rng(length)
        ids, types, mask = noise.integers(5, 60, (1, bucket)), noise.integers(0, 2, (1, bucket)), np.zeros((1, bucket))
        ids[0, :length] = self.references[f"{length}/input_ids"]
        types[0, :length] = self.references[f"{length}/token_type_ids"]
        mask[0, :length] = 1
        positions = self.positions(length)[None].astype(np.int64) if self._takes_positions else None
        outputs = self._sessions[self.attention(length)].run(Batch(ids, mask.astype(np.int64), types, positions))
        return {name: values[0] for name, values in outputs.items()}


def encoder_outputs(checkpoint: Path, pattern: str | None) -> dict[int, dict[str, tuple[Array, Array]]]:
    """Return what torch and the reference make of a fixture's documents: by length and output, at some positions.

    Args:
        checkpoint: As for `TensorFlowFixture`.
        pattern: Name of the random-block pattern; None for that of the checkpoint's source.
    """
    found = read_checkpoint(checkpoint, CheckpointOptions("embed"))
    model = found.load(get_pattern(pattern or found.default_pattern)).model
    with np.load(checkpoint / "references.npz") as file:
        references = dict(file)
    outputs: dict[int, dict[str, tuple[Array, Array]]] = {}
    for length in sorted({int(key.partition("/")[0]) for key in references}):
        reference = {name: references.get(f"{length}/{name}") for name in ("sequence", "pooled")}
        ids, types = references[f"{length}/input_ids"], references[f"{length}/token_type_ids"]
        padding = (0, -length % model.config.block_size)
        inputs = (np.pad(values, padding)[None] for values in (ids, np.ones_like(ids), types))
        with torch.inference_mode():
            answers = model(*(torch.from_numpy(values) for values in inputs))
        hidden, *pooled = (answers,) if isinstance(answers, torch.Tensor) else answers
        ours = {"sequence": hidden[0].numpy()[references[f"{length}/positions"]]}
        ours |= {"pooled": pooled[0][0].numpy()} if pooled else {}
        outputs[length] = {name: (ours[name], values) for name, values in reference.items() if values is not None}
    return outputs


def log_softmax(logits: Array) -> npt.NDArray[np.float64]:
    """Return the logarithms of the probabilities over the last axis."""
    shifted = logits.astype(np.float64) - logits.max(axis=-1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(axis=-1, keepdims=True)))
