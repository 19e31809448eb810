"""# tests/finetuning/test_forward.py: None"""

import numpy as np

from finetuning.forward import fresh_blocks
from model_export.config import BigBirdConfig

CONFIG = BigBirdConfig(
    hidden_size=8, num_hidden_layers=3, num_attention_heads=2, block_size=16, max_position_embeddings=512
)


def test_a_row_meets_different_blocks_that_it_would_not_meet_otherwise() -> None:
    for blocks in fresh_blocks(CONFIG, 14, 20, np.random.default_rng(0)):
        assert blocks.table.shape == (2, 18, 3)
        for head in blocks.table:
            for row, chosen in enumerate(head.tolist(), start=1):
                assert len(set(chosen)) == 3
                assert all(1 <= block <= 12 for block in chosen), "a middle block of the shortest document"
                assert all(abs(block - row) > 1 for block in chosen), "no block of the window"


def test_the_shortest_block_sparse_document_has_enough_blocks() -> None:
    blocks = fresh_blocks(CONFIG, 12, 12, np.random.default_rng(0))
    assert all(np.abs(layer.table - np.arange(1, 11)[:, None]).min() > 1 for layer in blocks)


def test_layers_heads_and_steps_differ_and_a_seed_repeats_them() -> None:
    first = fresh_blocks(CONFIG, 20, 20, np.random.default_rng([1, 5]))
    again = fresh_blocks(CONFIG, 20, 20, np.random.default_rng([1, 5]))
    later = fresh_blocks(CONFIG, 20, 20, np.random.default_rng([1, 6]))
    assert all((one.table == two.table).all() for one, two in zip(first, again, strict=True))
    assert not (first[0].table == later[0].table).all()
    assert not (first[0].table == first[1].table).all()
    assert not (first[0].table[0] == first[0].table[1]).all()
