"""Which batch sizes of a bucket are recorded as CUDA graphs, and which of them a batch should run as.

onnxruntime replays whatever was recorded under an id, at the addresses and in the shape of the recording, without
looking at what it is given. The map from size to id is therefore ours alone.
"""

from dataclasses import dataclass

import numpy as np

# A recording must save at least this share of an ordinary run's time to be worth its memory. Beyond the size at which
# the kernels take longer than it takes to launch them, it saves next to nothing.
LEAST_GAIN = 0.03


@dataclass(frozen=True, slots=True)
class Choice:
    """How a batch runs.

    Attributes:
        size: Sequences that are run: those of the batch, and copies of its last one up to a recorded size.
        graph_id: The recording to replay, or None for an ordinary run.
    """

    size: int
    graph_id: int | None


class CapturedSizes:
    """The recordings of one session, with what they cost."""

    def __init__(self) -> None:
        self._ordinary: dict[int, float] = {}
        self._replays: dict[int, tuple[int, float]] = {}

    @property
    def sizes(self) -> list[int]:
        """The recorded sizes, ascending."""
        return sorted(self._replays)

    def ids(self) -> list[int]:
        """Return the ids of all recordings."""
        return [graph_id for graph_id, _ in self._replays.values()]

    def measured(self, size: int, seconds: float) -> None:
        """Take the time of an ordinary run."""
        self._ordinary[size] = seconds

    def pays(self, size: int, replay_seconds: float) -> bool:
        """Tell whether a recording of a measured size is worth keeping."""
        return replay_seconds <= (1 - LEAST_GAIN) * self._ordinary[size]

    def captured(self, size: int, graph_id: int, replay_seconds: float) -> None:
        """Remember a recording."""
        self._replays[size] = (graph_id, replay_seconds)

    def forget(self) -> None:
        """Forget all recordings."""
        self._replays.clear()

    def choose(self, rows: int) -> Choice:
        """Return how a batch of so many sequences runs fastest.

        It is filled up to the next recorded size if the replay of that takes no longer than an ordinary run of the
        batch as it is, which lies on a straight line between the measured sizes.
        """
        size = min((size for size in self._replays if size >= rows), default=None)
        if size is None:
            return Choice(rows, None)
        graph_id, replay_seconds = self._replays[size]
        measured = sorted(self._ordinary)
        ordinary_seconds = float(np.interp(rows, measured, [self._ordinary[known] for known in measured]))
        return Choice(size, graph_id) if replay_seconds <= ordinary_seconds else Choice(rows, None)
