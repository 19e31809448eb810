"""One batch through a session: sequences of different lengths padded together, and their outputs cut apart again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bigbird_inference.buckets import ServedBucket
from bigbird_inference.runtime.session import Batch, Float32Array, Int64Array, Outputs, RunControl
from bigbird_inference.tokenization.encoded import EncodedSequence


def collate(sequences: Sequence[EncodedSequence], length: int, pad_id: int) -> Batch:
    """Pad sequences on the right to `length` tokens.

    Padding has `pad_id` as its token, 0 as its type and 0 in the attention mask. Positions are filled up with 0, the
    first token, to the most that a sequence has.

    Raises:
        ValueError: Some of the sequences have positions, and some have none.
    """
    shape = (len(sequences), length)
    input_ids = np.full(shape, pad_id, dtype=np.int64)
    attention_mask = np.zeros(shape, dtype=np.int64)
    token_type_ids = np.zeros(shape, dtype=np.int64)
    for row, sequence in enumerate(sequences):
        tokens = len(sequence)
        input_ids[row, :tokens] = sequence.input_ids
        attention_mask[row, :tokens] = 1
        token_type_ids[row, :tokens] = sequence.token_type_ids
    return Batch(input_ids, attention_mask, token_type_ids, _collate_positions(sequences))


def _collate_positions(sequences: Sequence[EncodedSequence]) -> Int64Array | None:
    given = [sequence.positions for sequence in sequences if sequence.positions is not None]
    if not given:
        return None
    if len(given) < len(sequences):
        raise ValueError("some sequences have positions, and some have none")
    positions = np.zeros((len(given), max(map(len, given))), dtype=np.int64)
    for row, own in enumerate(given):
        positions[row, : len(own)] = own
    return positions


def cut_outputs(outputs: Outputs, sequences: Sequence[EncodedSequence]) -> list[Outputs]:
    """Return each sequence's own outputs, without what belongs to padding.

    Args:
        outputs: `[batch, values]`, `[batch, length, values]`, or `[batch, positions, values]` where the sequences have
            positions.
        sequences: What went in, in batch order.

    Returns:
        Copies, so that one waiting requester does not keep the whole batch in memory.

    Raises:
        ValueError: The batch axis of an output does not match.
    """
    for name, array in outputs.items():
        if len(array) != len(sequences):
            raise ValueError(f"{len(sequences)} sequences went in, {len(array)} rows of {name} came out")
    return [
        {name: _cut(array[row], sequence) for name, array in outputs.items()} for row, sequence in enumerate(sequences)
    ]


def _cut(row: Float32Array, sequence: EncodedSequence) -> Float32Array:
    if row.ndim == 1:
        return row.copy()
    return row[: len(sequence) if sequence.positions is None else len(sequence.positions)].copy()


@dataclass(frozen=True, slots=True)
class BatchOutcome:
    """What a run gave.

    Attributes:
        outputs: Each sequence's own outputs, without padding.
        started_at: When the batch began to be put together, on the scheduler's clock, in seconds.
        collate_seconds: How long that took.
        run_seconds: Duration of the session's run, and of cutting its outputs.
    """

    outputs: Sequence[Outputs]
    started_at: float
    collate_seconds: float
    run_seconds: float

    @property
    def seconds(self) -> float:
        """What the batch took of the device's thread."""
        return self.collate_seconds + self.run_seconds


def run_batch(
    bucket: ServedBucket,
    sequences: Sequence[EncodedSequence],
    clock: Callable[[], float],
    control: RunControl | None = None,
) -> BatchOutcome:
    """Run sequences of one bucket together.

    Raises:
        ValueError: The session's outputs do not fit what went in, or are not numbers.
        RunTerminated: The control ended the run.
        OutOfMemory: There was no room for the batch.
    """
    started_at = clock()
    batch = collate(sequences, bucket.length, bucket.pad_id)
    collated_at = clock()
    outputs = cut_outputs(bucket.session.run(batch, control), sequences)
    _refuse_not_finite(outputs)
    return BatchOutcome(outputs, started_at, collated_at - started_at, clock() - collated_at)


def _refuse_not_finite(outputs: Sequence[Outputs]) -> None:
    """Refuse NaN and infinity: what is decoded from them looks like an answer.

    A sum is not finite if one of its terms is not, and costs no copy; only where it is not are the terms looked at.

    Raises:
        ValueError: There is one; the message names the output.
    """
    for own in outputs:
        for name, array in own.items():
            with np.errstate(over="ignore", invalid="ignore"):
                total = array.sum()
            if not np.isfinite(total) and not np.isfinite(array).all():
                raise ValueError(f"the output {name} holds NaN or infinity")
