from typing import Any

import numpy as np

from bigbird_inference.runtime.cuda.recordings import Recording, Recordings
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch, Shape


def recording(rows: int, length: int, graph_id: int) -> Recording:
    binding: Any = None
    return Recording(Shape(rows, length), graph_id, binding, {}, {})


def recordings() -> Recordings:
    """Of 8 tokens, ordinary runs of 1, 4 and 8 rows take 1.0, 1.4 and 2.0 seconds; of 16 tokens, 2 rows take 1.0."""
    known = Recordings()
    known.keep(recording(1, 8, 1), 1.0, 0.5)
    known.keep(recording(2, 16, 2), 1.0, 0.5)
    known.keep(recording(4, 8, 3), 1.4, 1.15)
    known.keep(recording(8, 8, 4), 2.0, 1.7)
    return known


def chosen(known: Recordings, rows: int, length: int) -> int | None:
    found = known.choose(Shape(rows, length))
    return None if found is None else found.graph_id


def test_a_recorded_shape_is_replayed() -> None:
    assert chosen(recordings(), 1, 8) == 1
    assert chosen(recordings(), 8, 8) == 4
    assert chosen(recordings(), 2, 16) == 2


def test_a_batch_is_filled_up_where_that_is_faster_than_an_ordinary_run_of_it() -> None:
    assert chosen(recordings(), 2, 8) is None  # 1.13 s as it is, on a straight line; 1.15 s filled up
    assert chosen(recordings(), 3, 8) == 3  # 1.27 s as it is, 1.15 s filled up
    assert chosen(recordings(), 5, 8) is None  # 1.55 s as it is, 1.7 s filled up
    assert chosen(recordings(), 7, 8) == 4  # 1.85 s as it is


def test_a_batch_never_runs_at_another_length_or_with_fewer_rows() -> None:
    assert chosen(recordings(), 1, 12) is None
    assert chosen(recordings(), 9, 8) is None
    assert chosen(Recordings(), 1, 8) is None


def test_forgotten_recordings_are_not_replayed() -> None:
    known = recordings()
    known.forget()
    assert chosen(known, 4, 8) is None
    assert known.shapes == []


def test_what_a_batch_lacks_is_filled_up_with_its_last_row_and_is_not_read() -> None:
    def value(dtype: type, *shape: int) -> onnxruntime.OrtValue:
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)

    ids, masks, scores = value(np.int64, 4, 2), value(np.int64, 4, 2), value(np.float32, 4, 1)
    binding: Any = None
    inputs = {"input_ids": ids, "attention_mask": masks}
    recorded = Recording(Shape(4, 2), 1, binding, inputs, {"scores": scores})
    recorded.fill(Batch(np.array([[5, 6], [7, 8]]), np.array([[1, 1], [1, 0]]), np.zeros((2, 2), dtype=np.int64)))
    assert ids.numpy().tolist() == [[5, 6], [7, 8], [7, 8], [7, 8]]
    assert masks.numpy().tolist() == [[1, 1], [1, 0], [1, 0], [1, 0]]
    scores.update_inplace(np.float32([[1], [2], [3], [4]]))
    read = recorded.read(2)["scores"]
    scores.update_inplace(np.float32([[9], [9], [9], [9]]))
    assert read.tolist() == [[1], [2]]
