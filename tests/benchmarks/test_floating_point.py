import pytest

from benchmarks.floating_point import block_sparse_operations, model_operations
from model_export.config import BigBirdConfig

# Full attention up to (5 + 2 * 1) * 2 = 14 tokens.
TINY = BigBirdConfig(
    hidden_size=4,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=8,
    max_position_embeddings=64,
    block_size=2,
    num_random_blocks=1,
    labels=("first", "second", "third"),
)
# Four maps of 4 x 4, one of 4 x 8, one of 8 x 4; a multiplication and an addition each.
LINEAR_FOR_A_TOKEN = 2 * (4 * 16 + 32 + 32)
# 4 x 4 and 4 x 3, on one token.
HEAD = 2 * (16 + 12)
# Four numbers multiplied and added for the score of a (query, key) pair, four for the weighted sum.
PAIR = 2 * (4 + 4)


def test_a_short_document_attends_to_all_its_tokens() -> None:
    assert model_operations(TINY, 4) == 2 * (4 * LINEAR_FOR_A_TOKEN + 4 * 4 * PAIR) + HEAD == 2616


def test_a_long_document_attends_along_the_pattern() -> None:
    # Eight blocks. Two global ones: 4 queries on 16 keys. Middle ones: 4, 5, 5, 5, 5 and 4 blocks of 2 keys, 2 queries.
    pairs = 4 * 16 + (4 + 5 + 5 + 5 + 5 + 4) * 2 * 2
    assert model_operations(TINY, 16) == 2 * (16 * LINEAR_FOR_A_TOKEN + pairs * PAIR) + HEAD == 13_880


def test_each_random_block_adds_its_keys_to_every_middle_row() -> None:
    added = 2 * 6 * (2 * 2) * PAIR
    assert model_operations(TINY, 16, random_blocks=1) - model_operations(TINY, 16) == added


def test_full_attention_can_be_counted_at_any_length() -> None:
    assert model_operations(TINY, 16, full=True) == 2 * (16 * LINEAR_FOR_A_TOKEN + 16 * 16 * PAIR) + HEAD


@pytest.mark.parametrize("length", [768, 1024, 4096])
def test_the_base_pattern_counts_every_block_that_a_row_attends_to_once(length: int) -> None:
    blocks = length // 64
    last = blocks - 1
    middle = [len({0, row - 1, row, row + 1, last}) for row in range(1, last)]
    pairs = (2 * blocks + sum(middle)) * 64 * 64
    assert block_sparse_operations(BigBirdConfig(), length) == pairs * 2 * (768 + 768)
