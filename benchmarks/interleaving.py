"""Which contender runs when: round robin, so that whatever else happens on the machine hits all alike."""

from collections.abc import Hashable, Mapping
from typing import TypeVar

Runner = TypeVar("Runner", bound=Hashable)


def repeats_for(seconds: float, *, quick: bool = False) -> int:
    """Return how often a run of that duration is repeated: slow ones less often, so that a benchmark ends."""
    if quick:
        return 3
    if seconds > 3:
        return 2 if seconds > 12 else 3
    return 5 if seconds > 1 else 9


def round_robin(repeats: Mapping[Runner, int]) -> list[Runner]:
    """Return the order of the runs: in rounds, in each of which everybody runs at most once.

    The rounds of those with fewer repeats are spread over the whole time.
    """
    rounds = max(repeats.values(), default=0)
    return [
        runner
        for number in range(rounds)
        for runner, count in repeats.items()
        if (number + 1) * count // rounds > number * count // rounds
    ]
