import numpy as np
import pytest

from benchmarks.contenders import BLOCK_SPARSE, Contender, Run, random_batch
from benchmarks.models import WrongModel, check


def load() -> Run:
    raise AssertionError("nothing is loaded to compare logits")


LOGITS = np.array([[3.0, 1.0], [-1.0, -3.0]], np.float32)
SPREAD = 5**0.5


def test_differences_are_in_standard_deviations_of_the_reference() -> None:
    compared = {BLOCK_SPARSE: Contender(load), "other": Contender(load, tolerance=0.5)}
    moved = LOGITS + np.array([[0.0, -1.0], [0.0, 0.0]], np.float32)
    differences = check(compared, {BLOCK_SPARSE: LOGITS, "other": moved})
    assert differences == pytest.approx({BLOCK_SPARSE: 0.0, "other": 1 / SPREAD})


@pytest.mark.parametrize("wrong", [0.01, np.nan], ids=["a difference beyond tolerance", "what is not a number"])
def test_a_model_that_computes_something_else_is_not_timed(wrong: float) -> None:
    compared = {BLOCK_SPARSE: Contender(load), "other": Contender(load)}
    with pytest.raises(WrongModel, match="other: logits differ"):
        check(compared, {BLOCK_SPARSE: LOGITS, "other": LOGITS + np.float32(wrong)})


def test_another_function_is_compared_without_a_limit() -> None:
    compared = {BLOCK_SPARSE: Contender(load), "full": Contender(load, tolerance=None)}
    assert check(compared, {BLOCK_SPARSE: LOGITS, "full": -LOGITS})["full"] == pytest.approx(6 / SPREAD)


def test_a_document_is_the_same_whatever_its_batch() -> None:
    alone, together = random_batch(range(2, 3), 64), random_batch(range(4), 64)
    assert np.array_equal(alone.input_ids[0], together.input_ids[2])
    assert not np.array_equal(together.input_ids[0], together.input_ids[1])
    assert together.attention_mask.all()
