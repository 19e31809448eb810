import numpy as np
import pytest

from bigbird_inference.batch_run import collate, cut_outputs, run_batch
from bigbird_inference.buckets import ServedBucket
from bigbird_inference.tokenization.encoded import EncodedSequence


def encoded(ids: list[int], types: list[int], positions: list[int] | None = None) -> EncodedSequence:
    where = None if positions is None else np.array(positions, np.int64)
    return EncodedSequence(np.array(ids, np.int64), np.array(types, np.int64), where)


def of_length(length: int, positions: list[int] | None = None) -> EncodedSequence:
    return encoded([5] * length, [0] * length, positions)


def test_sequences_are_padded_on_the_right_with_the_models_padding() -> None:
    batch = collate([encoded([5, 6], [0, 1]), encoded([7, 8, 9], [0, 1, 1])], length=4, pad_id=3)
    assert batch.input_ids.tolist() == [[5, 6, 3, 3], [7, 8, 9, 3]]
    assert batch.attention_mask.tolist() == [[1, 1, 0, 0], [1, 1, 1, 0]]
    assert batch.token_type_ids.tolist() == [[0, 1, 0, 0], [0, 1, 1, 0]]
    assert batch.positions is None
    assert {array.dtype for array in (batch.input_ids, batch.attention_mask, batch.token_type_ids)} == {
        np.dtype("int64")
    }


def test_positions_are_filled_up_to_the_most_that_a_sequence_has() -> None:
    batch = collate([of_length(2, [1]), of_length(4, [1, 2, 3])], length=4, pad_id=0)
    assert batch.positions is not None
    assert batch.positions.tolist() == [[1, 0, 0], [1, 2, 3]]
    assert batch.positions.dtype == np.int64


def test_sequences_with_and_without_positions_do_not_share_a_batch() -> None:
    with pytest.raises(ValueError, match="some sequences have positions"):
        collate([of_length(2, [1]), of_length(2)], length=4, pad_id=0)


def test_outputs_with_a_length_axis_are_cut_to_each_sequence() -> None:
    logits = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    first, second = cut_outputs({"logits": logits}, [of_length(1), of_length(3)])
    assert first["logits"].tolist() == [[0.0, 1.0]]
    assert second["logits"].tolist() == [[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]


def test_outputs_at_positions_are_cut_to_each_sequences_positions() -> None:
    logits = np.arange(2 * 3 * 2, dtype=np.float32).reshape(2, 3, 2)
    first, second = cut_outputs({"logits": logits}, [of_length(9, [4]), of_length(3, [0, 1, 2])])
    assert first["logits"].tolist() == [[0.0, 1.0]]
    assert second["logits"].tolist() == [[6.0, 7.0], [8.0, 9.0], [10.0, 11.0]]


def test_outputs_without_a_length_axis_are_one_row_for_each_sequence() -> None:
    logits = np.array([[1.0, 2.0], [3.0, 4.0]], dtype=np.float32)
    rows = cut_outputs({"logits": logits}, [of_length(1), of_length(1)])
    assert [row["logits"].tolist() for row in rows] == [[1.0, 2.0], [3.0, 4.0]]


def test_every_output_keeps_its_name_and_its_own_kind_of_cut() -> None:
    outputs = {"hidden": np.ones((1, 4, 2), np.float32), "pooled": np.zeros((1, 5), np.float32)}
    (own,) = cut_outputs(outputs, [of_length(3)])
    assert {name: array.shape for name, array in own.items()} == {"hidden": (3, 2), "pooled": (5,)}


def test_a_sequences_outputs_do_not_keep_the_batch_in_memory() -> None:
    outputs = {"hidden": np.zeros((2, 3, 2), np.float32), "pooled": np.zeros((2, 2), np.float32)}
    for own in cut_outputs(outputs, [of_length(1), of_length(3)]):
        assert all(array.base is None for array in own.values())


def test_rows_that_do_not_match_the_sequences_are_an_error() -> None:
    with pytest.raises(ValueError, match="2 sequences went in, 1 rows of logits came out"):
        cut_outputs({"logits": np.zeros((1, 2), np.float32)}, [of_length(1), of_length(1)])


@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_outputs_that_are_no_numbers_are_an_error(wrong: float) -> None:
    class Session:
        def run(self, batch: object, control: object = None) -> dict[str, np.ndarray]:
            return {"logits": np.array([[0.5, wrong]], np.float32)}

    bucket = ServedBucket("model", 4, Session(), pad_id=0)
    with pytest.raises(ValueError, match="logits holds NaN or infinity"):
        run_batch(bucket, [of_length(3)], clock=lambda: 0.0)
