"""Figures of scores as plain numbers."""

import math

import numpy as np

from evaluation.datasets.base import Dataset
from evaluation.figures import Scores


def values(dataset: Dataset, scores: Scores) -> dict[str, tuple[float | None, int]]:
    """Return each figure's value over all documents, None if it is undefined, and its number of items."""
    documents = np.arange(dataset.documents)
    found = {figure.name: (figure.statistic(documents), int(figure.items.sum())) for figure in scores.figures}
    if scores.group is not None:
        (together,) = scores.group.weighted(np.ones((1, dataset.documents), dtype=np.float32))
        pairs = zip(together.tolist(), scores.group.items.tolist(), strict=True)
        found |= dict(zip(scores.group.names, pairs, strict=True))
    return {name: (None if math.isnan(value) else round(value, 6), items) for name, (value, items) in found.items()}


def right(scores: Scores) -> list[bool]:
    """Return whether each item, by its number, was decided rightly."""
    assert scores.decisions is not None
    return [scores.decisions.right(number) for number in range(len(scores.decisions.expected))]
