"""Shapes of a session that were recorded as CUDA graphs, and which of them a batch should run as.

onnxruntime replays whatever was recorded under an id, at the addresses and in the shape of the recording, without
looking at what it is given. So a recording has inputs and outputs of its own, and the map from shape to id is ours.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch, Outputs, Shape


@dataclass(frozen=True, slots=True)
class Recording:
    """A shape with its own inputs and outputs on the device.

    Attributes:
        shape: What is run.
        graph_id: Under which onnxruntime keeps it.
        binding: Of the inputs and outputs.
        inputs: By name.
        outputs: By name.
    """

    shape: Shape
    graph_id: int
    binding: onnxruntime.IOBinding
    inputs: Mapping[str, onnxruntime.OrtValue]
    outputs: Mapping[str, onnxruntime.OrtValue]

    def fill(self, batch: Batch) -> None:
        """Copy a batch to the device; what it has fewer rows than the shape is filled up with copies of its last."""
        missing = self.shape.rows - len(batch.input_ids)
        for name, value in self.inputs.items():
            value.update_inplace(np.pad(getattr(batch, name), ((0, missing), (0, 0)), mode="edge"))

    def read(self, rows: int) -> Outputs:
        """Return copies of the first rows of every output."""
        # From the host's memory, onnxruntime gives a view.
        return {name: value.numpy()[:rows].copy() for name, value in self.outputs.items()}


@dataclass(frozen=True, slots=True)
class _Kept:
    recording: Recording
    ordinary_seconds: float
    replay_seconds: float


class Recordings:
    """The recordings of one session, with what they cost."""

    def __init__(self) -> None:
        self._kept: dict[Shape, _Kept] = {}

    @property
    def shapes(self) -> list[Shape]:
        """The recorded shapes, in the order of recording."""
        return list(self._kept)

    def all(self) -> list[Recording]:
        """Return all recordings, in the order of recording."""
        return [kept.recording for kept in self._kept.values()]

    def keep(self, recording: Recording, ordinary_seconds: float, replay_seconds: float) -> None:
        """Remember a recording, with the seconds of an ordinary run of its shape and of a replay."""
        self._kept[recording.shape] = _Kept(recording, ordinary_seconds, replay_seconds)

    def forget(self) -> None:
        """Forget all of them."""
        self._kept.clear()

    def choose(self, shape: Shape) -> Recording | None:
        """Return the recording that runs a batch of this shape fastest, or None if an ordinary run does.

        A batch is filled up to the next recorded number of rows of its length if the replay of that takes no longer
        than an ordinary run of the batch as it is, which lies on a straight line between those that were measured.
        """
        same_length = [self._kept[kept] for kept in sorted(self._kept) if kept.length == shape.length]
        larger = next((kept for kept in same_length if kept.recording.shape.rows >= shape.rows), None)
        if larger is None:
            return None
        measured_rows = [kept.recording.shape.rows for kept in same_length]
        ordinary = np.interp(shape.rows, measured_rows, [kept.ordinary_seconds for kept in same_length])
        return larger.recording if larger.replay_seconds <= ordinary else None
