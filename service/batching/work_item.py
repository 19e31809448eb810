"""What the scheduler takes and what it gives back: one encoded window in, its outputs out."""

from dataclasses import dataclass

from service.runtime.session import Outputs
from service.tokenization.encoded import EncodedSequence


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One encoded sequence that waits for its run.

    Attributes:
        model: Name of the bundle that must run it.
        sequence: The unpadded model input; it fits the model's longest bucket.
        deadline: Monotonic time in seconds after which the result is worthless, or None.
    """

    model: str
    sequence: EncodedSequence
    deadline: float | None = None


@dataclass(frozen=True, slots=True)
class InferenceResult:
    """The outputs of one sequence and how they came about.

    Attributes:
        outputs: By name, float32, without the batch axis and without padding: `[values]`, or `[length, values]`
            with a row for each token of the sequence, or for each of its positions where it has some.
        bucket: Padded length in tokens that the sequence ran in.
        queue_seconds: Time from acceptance to the start of the run.
        inference_seconds: Duration of the batch's run.
    """

    outputs: Outputs
    bucket: int
    queue_seconds: float
    inference_seconds: float
