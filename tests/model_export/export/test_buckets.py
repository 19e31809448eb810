import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketStep, GraphPlan, plan_buckets, plan_graphs


def _kinds(config: BigBirdConfig, asked: list[int] | BucketStep | None = None) -> list[tuple[int, str]]:
    return [(plan.length, plan.attention) for plan in plan_buckets(config, asked)]


def _full(*lengths: int) -> list[tuple[int, str]]:
    return [(length, "full") for length in lengths]


def _sparse(*lengths: int) -> list[tuple[int, str]]:
    return [(length, "block_sparse") for length in lengths]


# In blocks: every one up to 16, every second one up to 64, then in steps that double with the length.
EVERY = [*range(1, 17), *range(18, 65, 2)]
TO_128, TO_256 = [*range(68, 129, 4)], [*range(136, 257, 8)]


@pytest.mark.parametrize(
    ("fields", "full", "block_sparse"),
    [
        pytest.param({}, EVERY[:11], EVERY[11:], id="base"),
        pytest.param({"block_size": 32}, EVERY[:11], EVERY[11:] + TO_128, id="half the block size"),
        pytest.param({"block_size": 16}, EVERY[:11], EVERY[11:] + TO_128 + TO_256, id="a quarter of the block size"),
        pytest.param({"num_random_blocks": 0}, EVERY[:5], EVERY[5:], id="no random blocks"),
        pytest.param({"num_random_blocks": 6}, [*EVERY[:16], 17], EVERY[16:], id="an edge between two"),
        pytest.param({"max_position_embeddings": 1000}, EVERY[:11], EVERY[11:15], id="fewer positions"),
        pytest.param({"max_position_embeddings": 2111}, EVERY[:11], [*EVERY[11:24]], id="32 blocks and some tokens"),
        pytest.param({"max_position_embeddings": 2112}, EVERY[:11], [*EVERY[11:24], 33], id="a maximum between two"),
        pytest.param({"max_position_embeddings": 768}, EVERY[:11], [12], id="one block more than the edge"),
        pytest.param({"max_position_embeddings": 704}, EVERY[:11], [], id="the edge"),
        pytest.param({"max_position_embeddings": 64}, [1], [], id="one block"),
        pytest.param({"max_position_embeddings": 16384}, EVERY[:11], EVERY[11:] + TO_128 + TO_256, id="more positions"),
    ],
)
def test_the_default_buckets_are_finer_where_they_are_shorter(
    fields: dict[str, Any], full: list[int], block_sparse: list[int]
) -> None:
    config = BigBirdConfig(**fields)
    block_size = config.block_size
    expected = _full(*(blocks * block_size for blocks in full))
    assert _kinds(config) == expected + _sparse(*(blocks * block_size for blocks in block_sparse))


def test_the_base_configuration_has_forty_buckets_by_default() -> None:
    assert len(plan_buckets(BigBirdConfig())) == 40


@pytest.mark.parametrize("attention_type", ["original_full", "block_sparse"])
def test_a_model_with_full_attention_has_a_bucket_of_its_longest_length_by_default(attention_type: Any) -> None:
    config = BigBirdConfig(attention_type=attention_type, max_position_embeddings=514)
    assert _kinds(config) == _full(64, 128, 192, 256, 320, 384, 448, 512, 514)


@pytest.mark.parametrize(
    ("fields", "graphs"),
    [
        pytest.param({}, [GraphPlan("full", 1, 704, 1), GraphPlan("block_sparse", 768, 4096, 64)], id="base"),
        pytest.param(
            {"max_position_embeddings": 777, "num_random_blocks": 3},
            [GraphPlan("full", 1, 704, 1), GraphPlan("block_sparse", 768, 768, 64)],
            id="a single block-sparse length",
        ),
        pytest.param({"max_position_embeddings": 704}, [GraphPlan("full", 1, 704, 1)], id="the edge"),
        pytest.param({"max_position_embeddings": 130}, [GraphPlan("full", 1, 130, 1)], id="fewer than the edge"),
        pytest.param(
            {"attention_type": "original_full", "max_position_embeddings": 514},
            [GraphPlan("full", 1, 514, 1)],
            id="full attention by configuration",
        ),
        pytest.param(
            {"is_decoder": True, "max_position_embeddings": 4096}, [GraphPlan("full", 1, 4096, 1)], id="a decoder"
        ),
    ],
)
def test_there_is_a_graph_for_each_kind_of_attention_that_a_length_has(
    fields: dict[str, Any], graphs: list[GraphPlan]
) -> None:
    assert plan_graphs(BigBirdConfig(**fields)) == graphs


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
    edge = (5 + 2 * random_blocks) * block_size
    if attention_type == "original_full" or edge >= positions:
        assert lengths[-1] == positions
        assert {plan.attention for plan in plans} == {"full"}
        return
    assert lengths[-1] == positions // block_size * block_size
    assert all(length % block_size == 0 and length > 0 for length in lengths)
    assert all((plan.attention == "full") == (plan.length <= edge) for plan in plans)
    # No bucket may hold both a document that needs full attention and one that needs block-sparse attention.
    assert edge in lengths
    # What is padded is at most a block up to 16 blocks, at most an eighth from there on.
    for shorter, longer in itertools.pairwise([0, *lengths]):
        assert longer - shorter <= max(block_size, (shorter + block_size) / 8)


def test_asked_buckets_are_sorted_and_taken_once() -> None:
    assert _kinds(BigBirdConfig(), [2048, 704, 2048, 64]) == _full(64, 704) + _sparse(2048)


@pytest.mark.parametrize(
    ("step", "expected"),
    [
        pytest.param(BucketStep(1024), _full(704) + _sparse(1024, 2048, 3072, 4096), id="up to the model's longest"),
        pytest.param(
            BucketStep(128, 1024), _full(128, 256, 384, 512, 640, 704) + _sparse(768, 896, 1024), id="up to a length"
        ),
        pytest.param(BucketStep(512, 1088), _full(512, 704) + _sparse(1024, 1088), id="up to a length between two"),
        pytest.param(BucketStep(256, 704), _full(256, 512, 704), id="up to the edge"),
        pytest.param(BucketStep(4096), _full(704) + _sparse(4096), id="as long as the model"),
        pytest.param(BucketStep(128, 320), _full(128, 256, 320), id="shorter than the edge"),
        pytest.param(BucketStep(8192), _full(704) + _sparse(4096), id="longer than the model"),
    ],
)
def test_a_step_asks_for_its_multiples_the_edge_and_the_longest(
    step: BucketStep, expected: list[tuple[int, str]]
) -> None:
    assert _kinds(BigBirdConfig(), step) == expected


def test_asked_buckets_need_not_reach_the_longest_input_nor_the_edge() -> None:
    assert _kinds(BigBirdConfig(), [704]) == _full(704)
    assert _kinds(BigBirdConfig(), [64, 512]) == _full(64, 512)


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
        pytest.param([], "^buckets: none; name", id="none at all"),
        pytest.param(BucketStep(100), "^buckets: 100 is not a multiple of the block size 64", id="a step of no blocks"),
        pytest.param(BucketStep(0), "^buckets: 0 is not a multiple", id="a step of zero"),
        pytest.param(BucketStep(64, 1000), "^buckets: 1000 is not a multiple", id="a step up to no whole blocks"),
        pytest.param(BucketStep(64, 8192), "^buckets: .* is longer than the model's maximum of 4096", id="beyond it"),
    ],
)
def test_buckets_that_cannot_be_are_refused(asked: list[int] | BucketStep, message: str) -> None:
    with pytest.raises(ExportError, match=message):
        plan_buckets(BigBirdConfig(), asked)
