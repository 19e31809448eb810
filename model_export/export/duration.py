"""How long an export will take, about: so that nobody waits for an hour without having been told.

Tracing takes as long for a large model as for a small one. What else takes time is matrix products: torch's answers to
the documents of the checks, and each graph's. How fast this machine multiplies is measured, on matrices of the model.
"""

import time
from collections.abc import Mapping, Sequence

import torch

from bigbird_inference.manifest import AttentionKernelName, Precision
from model_export.config import BigBirdConfig
from model_export.export.buckets import BucketPlan
from model_export.export.verify import document_lengths

# Measured on a core of an AMD EPYC, with models of 4 and 6 layers and up to 4,096 tokens: 10, 17 and 27 seconds, for
# which this rule says 8, 17 and 29.
_SECONDS_PER_GRAPH = 7.5
_SHARE_OF_PEAK = 0.5
_MEASURED_TOKENS = 512


def expected_seconds(
    config: BigBirdConfig,
    plans: Sequence[BucketPlan],
    kernels: Mapping[Precision, Sequence[AttentionKernelName]],
    operations_per_second: float,
) -> float:
    """Return about how many seconds an export takes.

    Args:
        config: Of the model.
        plans: The buckets.
        kernels: The attention kernels of each precision.
        operations_per_second: Of this machine's matrix products.
    """
    graphs = len({plan.attention for plan in plans}) * sum(len(own) for own in kernels.values())
    documents = document_lengths(plans, config)
    references = sum(_operations(config, length) for length in {length for own in documents.values() for length in own})
    checks = sum(len(own) * _operations(config, bucket) for bucket, own in documents.items())
    operations = references + checks * sum(len(own) for own in kernels.values())
    return graphs * _SECONDS_PER_GRAPH + operations / (_SHARE_OF_PEAK * operations_per_second)


def about(seconds: float) -> str:
    """Write a time as roughly as it is known."""
    if seconds < 90:
        return f"about {max(10, round(seconds, -1)):.0f} seconds"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} minutes"
    return f"about {seconds / 3600:.1f} hours"


def _operations(config: BigBirdConfig, length: int) -> float:
    """Return the floating-point operations of the layers for a document."""
    hidden, inner = config.hidden_size, config.intermediate_size
    linear = 2 * length * (4 * hidden * hidden + 2 * hidden * inner)
    keys = length
    if length > config.full_attention_edge:
        # Three blocks of the window, the first, the last, and the random ones.
        keys = min(length, (5 + config.num_random_blocks) * config.block_size)
    return float(config.num_hidden_layers * (linear + 4 * length * keys * hidden))


def operations_per_second(config: BigBirdConfig) -> float:
    """Measure products of the feed-forward layer; the first one warms up."""
    states, weights = (
        torch.zeros(_MEASURED_TOKENS, config.hidden_size),
        torch.zeros(config.hidden_size, config.intermediate_size),
    )
    fastest = float("inf")
    for _ in range(4):
        begin = time.perf_counter()
        states @ weights
        fastest = min(fastest, time.perf_counter() - begin)
    return 2 * states.shape[0] * weights.numel() / fastest
