"""McNemar's exact test: are two models right equally often on the same items?"""

from collections.abc import Sequence
from dataclasses import dataclass

from scipy import stats


@dataclass(frozen=True, slots=True)
class McNemar:
    """How many items only one of the two got right, and the two-sided p-value.

    If both are equally good, each such item is a toss of a fair coin; the p-value is the probability of a split at
    least as uneven. Items of one document are not independent, which makes it too small where documents hold several.
    """

    only_first: int
    only_second: int
    p_value: float


def exact_mcnemar(first: Sequence[bool], second: Sequence[bool]) -> McNemar:
    """Compare two models.

    Args:
        first: Whether the first got each item right.
        second: The same of the second, in the same order.
    """
    pairs = list(zip(first, second, strict=True))
    only_first = sum(one and not other for one, other in pairs)
    only_second = sum(other and not one for one, other in pairs)
    split = only_first + only_second
    p_value = float(stats.binomtest(only_first, split, 0.5).pvalue) if split else 1.0
    return McNemar(only_first, only_second, p_value)
