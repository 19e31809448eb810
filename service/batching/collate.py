"""Sequences of different lengths to one padded batch, and a batch's logits back to one array per sequence."""

from collections.abc import Sequence

import numpy as np

from service.runtime.session import Batch, Float32Array
from service.tokenization.encoded import EncodedSequence


def collate(sequences: Sequence[EncodedSequence], length: int, pad_id: int) -> Batch:
    """Pad sequences on the right to `length` tokens.

    Padding has `pad_id` as its token, 0 as its type and 0 in the attention mask.
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
    return Batch(input_ids, attention_mask, token_type_ids)


def cut_logits(logits: Float32Array, lengths: Sequence[int]) -> list[Float32Array]:
    """Return each sequence's own logits, without padding positions.

    Args:
        logits: `[batch, length, values]`, or `[batch, values]` where there is no length axis.
        lengths: Real tokens of each sequence, in batch order.

    Returns:
        Copies, so that one waiting requester does not keep the whole batch in memory.

    Raises:
        ValueError: The batch axis does not match.
    """
    if len(logits) != len(lengths):
        raise ValueError(f"{len(lengths)} sequences went in, {len(logits)} rows of logits came out")
    if logits.ndim == 2:
        return [row.copy() for row in logits]
    return [row[:length].copy() for row, length in zip(logits, lengths, strict=True)]
