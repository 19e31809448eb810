"""Which buckets of a graph warm-up measures, and what follows from them for the others."""

from collections.abc import Sequence
from itertools import pairwise

from bigbird_inference.buckets import ModelVersion, ServedBucket
from service.batching.cost_model import CostModel


def by_graph(buckets: Sequence[ServedBucket]) -> list[list[ServedBucket]]:
    """Return the buckets that share a graph, ascending."""
    graphs: dict[tuple[ModelVersion, str], list[ServedBucket]] = {}
    for bucket in sorted(buckets, key=lambda bucket: bucket.length):
        graphs.setdefault((bucket.model_version, bucket.attention), []).append(bucket)
    return list(graphs.values())


def halving(graph: Sequence[ServedBucket]) -> list[ServedBucket]:
    """Return the longest bucket of a graph, each that is at most half as long as the one before, and the shortest."""
    chosen = [graph[-1]]
    for bucket in reversed(graph[:-1]):
        if bucket is graph[0] or 2 * bucket.length <= chosen[-1].length:
            chosen.append(bucket)
    return chosen


def measured_first(graph: Sequence[ServedBucket]) -> list[ServedBucket]:
    """Return those of them that are run at any start: at block-sparse attention, whose seconds are linear, the ends.

    They are descending, because what the longest has faulted in serves all.
    """
    chosen = halving(graph)
    if graph[0].attention == "block_sparse":
        return chosen[:1] + chosen[1:][-1:]
    return chosen


def predict_others(cost_model: CostModel, graph: Sequence[ServedBucket], measured: Sequence[ServedBucket]) -> None:
    """Tell what batches of a graph's other buckets cost, for the sizes that the next longer one was measured with.

    Seconds lie on the straight line between the next shorter and the next longer measured bucket, which is above what
    they are where attention grows faster than the length.

    Args:
        cost_model: Knows the seconds of what is measured, and receives the others'.
        graph: All buckets of the graph, ascending.
        measured: Those that are measured, descending; both ends are.
    """
    known = {bucket.key for bucket in measured}
    for bucket in graph:
        if bucket.key in known:
            continue
        shorter, longer = _neighbours(bucket, measured)
        share = (bucket.length - shorter.length) / (longer.length - shorter.length)
        below = dict(cost_model.measurements[shorter.key])
        for items, seconds in cost_model.measurements[longer.key]:
            start = below.get(items, seconds * shorter.length / longer.length)
            cost_model.measured(bucket.key, items, start + share * (seconds - start))


def _neighbours(bucket: ServedBucket, measured: Sequence[ServedBucket]) -> tuple[ServedBucket, ServedBucket]:
    return next(
        (shorter, longer) for longer, shorter in pairwise(measured) if shorter.length < bucket.length < longer.length
    )
