"""Which padded lengths a model is exported for, and which lengths each of its graphs takes."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from bigbird_inference.manifest import Attention
from model_export.config import BigBirdConfig
from model_export.errors import ExportError

# Up to so many blocks every number of blocks is a bucket by default; up to four times as many every second one, and
# from there on the step doubles with the length. Measured in docs/performance.md.
_EVERY_BLOCK = 16


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """A bucket to export: its padded length in tokens and its kind of attention."""

    length: int
    attention: Attention


@dataclass(frozen=True, slots=True)
class GraphPlan:
    """The graph of one kind of attention: it takes `shortest`, every `step` tokens from there, and `longest`."""

    attention: Attention
    shortest: int
    longest: int
    step: int


@dataclass(frozen=True, slots=True)
class BucketStep:
    """A bucket every so many tokens, up to a longest one or to the model's longest."""

    tokens: int
    longest: int | None = None


def plan_graphs(config: BigBirdConfig) -> list[GraphPlan]:
    """Return the graphs of a model: of full attention, and of block-sparse attention if any length has it."""
    edge, block_size, longest = config.full_attention_edge, config.block_size, config.max_length
    graphs = [GraphPlan("full", 1, edge, 1)]
    if edge < longest:
        graphs.append(GraphPlan("block_sparse", edge + block_size, longest, block_size))
    return graphs


def plan_buckets(config: BigBirdConfig, asked: Sequence[int] | BucketStep | None = None) -> list[BucketPlan]:
    """Return the buckets in ascending order.

    Args:
        config: The model's configuration.
        asked: Lengths in tokens; or a step, to whose multiples the longest length is added, and the edge of full
            attention if it is shorter; None takes the default ones.

    Raises:
        ExportError: A length cannot be a bucket of this model, or some are longer than the full-attention edge, which
            is missing.
    """
    edge = config.full_attention_edge
    if asked is None:
        lengths = sorted({*_default_lengths(config), edge, config.max_length})
    elif isinstance(asked, BucketStep):
        longest = asked.longest or config.max_length
        _require_whole_blocks(asked.tokens, config)
        lengths = _checked([*range(asked.tokens, longest, asked.tokens), min(edge, longest), longest], config)
    else:
        lengths = _checked(asked, config)
    return [BucketPlan(length, "full" if length <= edge else "block_sparse") for length in lengths]


def _default_lengths(config: BigBirdConfig) -> Iterator[int]:
    """Yield lengths of which each is at most an eighth longer than needed, but for documents of a few blocks."""
    blocks, step = 0, 1
    while (blocks + step) * config.block_size <= config.max_length:
        blocks += step
        yield blocks * config.block_size
        if blocks == _EVERY_BLOCK or (blocks >= 4 * _EVERY_BLOCK and blocks.bit_count() == 1):
            step *= 2


def _checked(asked: Iterable[int], config: BigBirdConfig) -> list[int]:
    lengths = sorted(set(asked))
    for length in lengths:
        if length != config.max_length:
            _require_whole_blocks(length, config)
        if length > config.max_length:
            raise ExportError(f"buckets: {length} is longer than the model's maximum of {config.max_length}")
    if not lengths:
        raise ExportError("buckets: none; name at least one length")
    if config.full_attention_edge not in lengths and lengths[-1] > config.full_attention_edge:
        raise ExportError(
            f"buckets: {config.full_attention_edge} is missing; it is the longest length with full attention, "
            "and no bucket may mix the two kinds of attention"
        )
    return lengths


def _require_whole_blocks(length: int, config: BigBirdConfig) -> None:
    if length <= 0 or length % config.block_size:
        raise ExportError(f"buckets: {length} is not a multiple of the block size {config.block_size}")
