import numpy as np

from benchmarks.random_documents import random_batch


def test_a_document_is_the_same_whatever_its_batch() -> None:
    alone, together = random_batch(range(2, 3), 64), random_batch(range(4), 64)
    assert np.array_equal(alone.input_ids[0], together.input_ids[2])
    assert not np.array_equal(together.input_ids[0], together.input_ids[1])
    assert together.attention_mask.all()
