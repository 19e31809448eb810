from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import plan_buckets


def _kinds(config: BigBirdConfig, asked: list[int] | None = None) -> list[tuple[int, str]]:
    return [(plan.length, plan.attention) for plan in plan_buckets(config, asked)]


def _full(*lengths: int) -> list[tuple[int, str]]:
    return [(length, "full") for length in lengths]


def _sparse(*lengths: int) -> list[tuple[int, str]]:
    return [(length, "block_sparse") for length in lengths]


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        pytest.param({}, _full(128, 256, 512, 704) + _sparse(1024, 1536, 2048, 3072, 4096), id="base"),
        pytest.param(
            {"block_size": 32},
            _full(64, 128, 256, 352) + _sparse(512, 768, 1024, 1536, 2048, 4096),
            id="half the block size",
        ),
        pytest.param(
            {"num_random_blocks": 0},
            _full(128, 256, 320) + _sparse(512, 1024, 1536, 2048, 3072, 4096),
            id="no random blocks",
        ),
        pytest.param({"max_position_embeddings": 1000}, _full(128, 256, 512, 704) + _sparse(960), id="fewer positions"),
        pytest.param({"max_position_embeddings": 600}, _full(128, 256, 512, 576), id="too few to be sparse"),
        pytest.param({"max_position_embeddings": 64}, _full(64), id="one block"),
        pytest.param(
            {"max_position_embeddings": 16384},
            _full(128, 256, 512, 704) + _sparse(1024, 1536, 2048, 3072, 4096, 8192, 16384),
            id="more positions",
        ),
        pytest.param(
            {"attention_type": "original_full", "max_position_embeddings": 1000},
            _full(128, 256, 512, 1000),
            id="full attention",
        ),
    ],
)
def test_the_default_buckets(fields: dict[str, Any], expected: list[tuple[int, str]]) -> None:
    assert _kinds(BigBirdConfig(**fields)) == expected


@settings(derandomize=True, deadline=None)
@given(
    block_size=st.integers(1, 128),
    random_blocks=st.integers(0, 6),
    positions=st.integers(128, 10_000),
    attention_type=st.sampled_from(["block_sparse", "original_full"]),
)
def test_default_buckets_always_hold_every_document_in_its_own_kind(
    block_size: int, random_blocks: int, positions: int, attention_type: Any
) -> None:
    config = BigBirdConfig(
        block_size=block_size,
        num_random_blocks=random_blocks,
        max_position_embeddings=positions,
        attention_type=attention_type,
    )
    plans = plan_buckets(config)
    lengths = [plan.length for plan in plans]
    assert lengths == sorted(set(lengths))
    if attention_type == "original_full":
        assert lengths[-1] == positions
        assert {plan.attention for plan in plans} == {"full"}
        return
    assert lengths[-1] == positions // block_size * block_size
    assert all(length % block_size == 0 and length > 0 for length in lengths)
    edge = (5 + 2 * random_blocks) * block_size
    assert all((plan.attention == "full") == (plan.length <= edge) for plan in plans)
    # No bucket may hold both a document that needs full attention and one that needs block-sparse attention.
    assert edge in lengths or lengths[-1] < edge


def test_asked_buckets_are_sorted_and_taken_once() -> None:
    assert _kinds(BigBirdConfig(), [2048, 704, 2048, 64]) == _full(64, 704) + _sparse(2048)


def test_asked_buckets_need_not_reach_the_longest_input() -> None:
    assert _kinds(BigBirdConfig(), [704]) == _full(704)


def test_a_model_with_full_attention_takes_its_longest_input_although_it_is_no_whole_block() -> None:
    config = BigBirdConfig(attention_type="original_full", max_position_embeddings=1000)
    assert _kinds(config, [128, 1000]) == _full(128, 1000)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        pytest.param([704, 1000], "^buckets: 1000 is not a multiple of the block size 64", id="no whole blocks"),
        pytest.param([0, 704], "^buckets: 0 ", id="zero"),
        pytest.param([-64, 704], "^buckets: -64 ", id="negative"),
        pytest.param([704, 4160], "^buckets: 4160 is longer than the model's maximum of 4096", id="too long"),
        pytest.param([128, 1024], "^buckets: 704 is missing", id="without the edge"),
        pytest.param([], "^buckets: ", id="none at all"),
    ],
)
def test_buckets_that_cannot_be_are_refused(asked: list[int], message: str) -> None:
    with pytest.raises(ExportError, match=message):
        plan_buckets(BigBirdConfig(), asked)
