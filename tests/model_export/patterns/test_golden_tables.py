"""Tables that the google-research and Model Garden code drew, reproduced to the last index."""

import re
from pathlib import Path

import numpy as np
import pytest

from model_export.patterns.registry import get_pattern

GOLDEN = dict(np.load(Path(__file__).parents[2] / "fixtures" / "golden_random_blocks.npz"))
BLOCK_SIZE = 64


def test_the_golden_tables_cover_both_codes_and_the_lengths_in_and_outside_the_list() -> None:
    keys = [re.fullmatch(r"(google|model-garden)/seed(\d+)/heads(\d+)/len(\d+)", key) for key in GOLDEN]
    assert all(keys)
    seen = {(key[1], int(key[4])) for key in keys if key}
    assert {("google", length) for length in (768, 1024, 2048, 2560, 3072, 4032, 4096)} <= seen
    assert {("model-garden", length) for length in (1024, 1536, 2048, 4096)} <= seen
    assert len(GOLDEN) == 96


@pytest.mark.parametrize("key", GOLDEN)
def test_a_golden_table_is_drawn_again_exactly(key: str) -> None:
    name, seed, heads, length = key.split("/")
    layer, blocks = int(seed.removeprefix("seed")), int(length.removeprefix("len")) // BLOCK_SIZE
    drawn = get_pattern(name).random_blocks(
        layer,
        heads=int(heads.removeprefix("heads")),
        slots=3,
        block_size=BLOCK_SIZE,
        max_position_embeddings=4096,
    )
    table = drawn.listed_table if blocks in drawn.listed_block_counts else drawn.table
    assert table is not None
    np.testing.assert_array_equal(table[:, : blocks - 2], GOLDEN[key])
