import numpy as np
import pytest

from service.batching.collate import collate, cut_logits
from service.tokenization.encoded import EncodedSequence


def encoded(ids: list[int], types: list[int]) -> EncodedSequence:
    return EncodedSequence(np.array(ids, np.int64), np.array(types, np.int64))


def test_sequences_are_padded_on_the_right_with_the_models_padding() -> None:
    batch = collate([encoded([5, 6], [0, 1]), encoded([7, 8, 9], [0, 1, 1])], length=4, pad_id=3)
    assert batch.input_ids.tolist() == [[5, 6, 3, 3], [7, 8, 9, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]
    assert batch.token_type_ids.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0]]
    assert {array.dtype for array in (batch.input_ids, batch.attention_mask, batch.token_type_ids)} == {
        np.dtype("int64")
    }


def test_logits_with_a_length_axis_are_cut_to_each_sequence() -> None:
    logits = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    first, second = cut_logits(logits, [1, 3])
    assert first.tolist() == [[0.0, 1.0]]
    assert second.tolist() == [[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]


def test_logits_without_a_length_axis_are_one_row_for_each_sequence() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    assert [row.tolist() for row in cut_logits(logits, [7, 9])] == [[1.0, 2.0], [3.0, 4.0]]


def test_a_sequences_logits_do_not_keep_the_batch_in_memory() -> None:
    logits = np.zeros((2, 3, 2), dtype=np.float32)
    assert all(row.base is None for row in cut_logits(logits, [1, 3]))


def test_rows_that_do_not_match_the_sequences_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 sequences went in, 1 rows"):
        cut_logits(np.zeros((1, 2), dtype=np.float32), [1, 1])
