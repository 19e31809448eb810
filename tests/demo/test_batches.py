from itertools import islice

import numpy as np
import pytest
import torch

from bigbird_inference.tokenization.encoded import EncodedSequence
from demo.batches import (
    FIRST_VALIDATION_SEED,
    Lengths,
    pad,
    padded_targets,
    position_shift,
    reports_of_batch,
)
from demo.reports import FIRST_EVALUATION_SEED
from demo.tokens import Inputs

LENGTHS = Lengths(50, 90, subjects=2)


def row(length: int) -> Inputs:
    ids = np.arange(1, length + 1, dtype=np.int64)
    return Inputs(EncodedSequence(ids, np.ones(length, dtype=np.int64)), 1)


def test_a_batch_is_padded_to_whole_blocks_of_its_longest_row() -> None:
    batch = pad([row(3), row(17)], block_size=16)
    assert batch.input_ids.shape == (2, 32)
    assert batch.input_ids[0].tolist() == [1, 2, 3] + [0] * 29
    assert batch.attention_mask.sum(dim=1).tolist() == [3, 17]
    assert torch.equal(batch.token_type_ids, batch.attention_mask)


def test_a_row_of_exactly_one_block_is_not_padded() -> None:
    assert pad([row(16)], block_size=16).input_ids.shape == (1, 16)


def test_targets_lie_over_their_tokens() -> None:
    batch = pad([row(4), row(5)], block_size=8)
    targets = padded_targets(batch, [(1, np.array([7, 8])), (2, np.array([9]))], fill=-100)
    assert targets[0].tolist() == [-100, 7, 8] + [-100] * 5
    assert targets[1].tolist() == [-100, -100, 9] + [-100] * 5


def test_a_batch_number_always_gives_the_same_reports_and_another_gives_others() -> None:
    first, again, other = (list(islice(reports_of_batch(number, LENGTHS, 0), 3)) for number in (4, 4, 5))
    assert first == again
    assert not {report.text for report in first} & {report.text for report in other}


@pytest.mark.parametrize(
    ("number", "first_seed"),
    [
        pytest.param(FIRST_VALIDATION_SEED // 4096, 0, id="training that would reach validation"),
        pytest.param(
            (FIRST_EVALUATION_SEED - FIRST_VALIDATION_SEED) // 4096,
            FIRST_VALIDATION_SEED,
            id="validation that would reach evaluation",
        ),
    ],
)
def test_seeds_that_are_kept_for_evaluation_are_never_used(number: int, first_seed: int) -> None:
    with pytest.raises(ValueError, match="kept for evaluation"):
        next(reports_of_batch(number, LENGTHS, first_seed))


def test_texts_are_moved_anywhere_within_the_period() -> None:
    shifts = [position_shift(number, 1024) for number in range(400)]
    assert shifts == [position_shift(number, 1024) for number in range(400)]
    assert 0 <= min(shifts) < 20
    assert 1000 < max(shifts) < 1024
    assert 150 < sum(shift < 512 for shift in shifts) < 250
