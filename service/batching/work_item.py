"""What the scheduler takes and what it gives back: one encoded window in, its outputs out."""

from dataclasses import dataclass
from typing import Any

from bigbird_inference.buckets import ModelVersion
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One encoded sequence that waits for its run.

    Attributes:
        model: Name of the bundle that must run it.
        sequence: The unpadded model input; it fits the model's longest bucket.
        deadline: Monotonic time in seconds after which the result is worthless, or None.
        trace: What the observer needs to connect a batch with this item's request; the scheduler never looks at it.
        version: Which version of the model encoded it, and must run it.
    """

    model: str
    sequence: EncodedSequence
    deadline: float | None = None
    trace: Any = None
    version: int = 1

    @property
    def model_version(self) -> ModelVersion:
        """What must run it."""
        return ModelVersion(self.model, self.version)


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """The outputs of one sequence and how they came about.

    Attributes:
        outputs: By name, float32, without the batch axis and without padding: `[values]`, or `[length, values]`
            with a row for each token of the sequence, or for each of its positions where it has some.
        bucket: Padded length in tokens that the sequence ran in.
        queue_seconds: Time from acceptance until the batch was begun.
        collate_seconds: Time in which the batch was put together.
        inference_seconds: Duration of the batch's run.
        finished_at: When the outputs were there, on the scheduler's clock.
    """

    outputs: Outputs
    bucket: int
    queue_seconds: float
    collate_seconds: float
    inference_seconds: float
    finished_at: float
