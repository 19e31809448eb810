"""What the scheduler takes and what it gives back: one encoded window in, its logits out."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from service.tokenization.encoded import EncodedSequence

Float32Array = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class WorkItem:
    """One encoded sequence that waits for its logits.

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
    """The logits of one sequence and how they came about.

    Attributes:
        logits: float32, cut to the sequence's own length where there is a length axis:
            QA `[length, 2]` (start, end), token classification `[length, labels]`,
            sequence classification `[labels]`.
        bucket: Padded length in tokens that the sequence ran in.
        queue_seconds: Time from acceptance to the start of the run.
        inference_seconds: Duration of the batch's run.
    """

    logits: Float32Array
    bucket: int
    queue_seconds: float
    inference_seconds: float
