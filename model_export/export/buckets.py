"""Which padded lengths a model is exported for."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from service.bundle import Attention

_DEFAULT_LENGTHS = (128, 256, 512, 704, 1024, 1536, 2048, 3072, 4096)
_BASE_BLOCK_SIZE = 64


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """A bucket to export: its padded length in tokens and its kind of attention."""

    length: int
    attention: Attention


def plan_buckets(config: BigBirdConfig, asked: Sequence[int] | None = None) -> list[BucketPlan]:
    """Return the buckets in ascending order.

    Args:
        config: The model's configuration.
        asked: Lengths in tokens; None takes the default ones.

    Raises:
        ExportError: A length cannot be a bucket of this model, or the full-attention edge is missing.
    """
    lengths = sorted(_default_lengths(config)) if asked is None else _checked(asked, config)
    edge = config.full_attention_edge
    return [BucketPlan(length, "full" if length <= edge else "block_sparse") for length in lengths]


def _default_lengths(config: BigBirdConfig) -> set[int]:
    """The base configuration's lengths, scaled to this block size and cut to this model's maximum."""
    scaled = (length * config.block_size // _BASE_BLOCK_SIZE for length in _DEFAULT_LENGTHS)
    lengths = {length for length in scaled if length <= config.max_length}
    longest = max(_DEFAULT_LENGTHS) * config.block_size // _BASE_BLOCK_SIZE
    while longest * 2 <= config.max_length:
        longest *= 2
        lengths.add(longest)
    # The base configuration's edge is no bucket of a model whose own edge is elsewhere.
    lengths.discard(704 * config.block_size // _BASE_BLOCK_SIZE)
    return lengths | {config.full_attention_edge, config.max_length}


def _checked(asked: Iterable[int], config: BigBirdConfig) -> list[int]:
    lengths = sorted(set(asked))
    for length in lengths:
        whole_blocks = length % config.block_size == 0 or length == config.max_length
        if length <= 0 or not whole_blocks:
            raise ExportError(f"buckets: {length} is not a multiple of the block size {config.block_size}")
        if length > config.max_length:
            raise ExportError(f"buckets: {length} is longer than the model's maximum of {config.max_length}")
    if config.full_attention_edge not in lengths:
        raise ExportError(
            f"buckets: {config.full_attention_edge} is missing; it is the longest length with full attention, "
            "and no bucket may mix the two kinds of attention"
        )
    return lengths
