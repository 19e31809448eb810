"""Sequences of different lengths to one padded batch, and a batch's outputs back to those of each sequence."""

from collections.abc import Sequence

import numpy as np

from bigbird_inference.runtime.session import Batch, Float32Array, Int64Array, Outputs
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
