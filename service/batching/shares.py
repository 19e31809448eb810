"""Fair shares: a request that brings much work lets others go between its parts.

Start-time fair queueing (Goyal, Vin and Cheng, 1996). Work has a *start*: the service level at which its request has
had what it had before. A request that comes begins at today's level; each piece of its work begins where the one before
it ends, by predicted cost. Work whose start the level has reached is *in turn*, the rest is behind its share. While one
request works alone, the level follows it; with n of them it rises n times as slowly, so that each is served at an n-th
of the speed, and whoever comes with little is in turn at once.

With keys, the requests of a key share what one of them would have alone: a piece of work moves its request as many
times further as the key has requests under way.
"""

import contextlib
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import accumulate


class Share:
    """What one request has been promised so far.

    Args:
        shares: All requests.
        key: Whose request it is, or None.
    """

    def __init__(self, shares: "Shares", key: str | None) -> None:
        self._shares = shares
        self._key = key
        self._end = 0.0

    def starts(self, costs: Sequence[float]) -> list[float]:
        """Return the start of each next piece of work, by what it takes, as if they came now."""
        return self._ends(costs)[:-1]

    def take(self, costs: Sequence[float]) -> list[float]:
        """Return the same, and take these pieces of work for granted from now on."""
        *starts, self._end = self._ends(costs)
        return starts

    def _ends(self, costs: Sequence[float]) -> list[float]:
        weight = self._shares.weight(self._key)
        return list(accumulate((cost * weight for cost in costs), initial=max(self._shares.level, self._end)))


class Shares:
    """The service level, and who has work.

    Attributes:
        level: What a request that began with the service and always had work would have had by now.
    """

    def __init__(self) -> None:
        self.level = 0.0
        self._open = 0
        self._by_key: Counter[str] = Counter()

    @contextlib.contextmanager
    def open(self, key: str | None = None) -> Iterator[Share]:
        """Give a request its share until it ends.

        Args:
            key: Whose request it is, or None if nobody is known by a key.
        """
        self._open += 1
        if key is not None:
            self._by_key[key] += 1
        try:
            yield Share(self, key)
        finally:
            self._open -= 1
            if key is not None:
                self._by_key[key] -= 1
                self._by_key += Counter()  # without those that have none

    def weight(self, key: str | None) -> int:
        """Return how many requests share what a request of this key is promised."""
        return 1 if key is None else max(self._by_key[key], 1)

    def spend(self, cost: float) -> None:
        """Raise the level by a piece of work that has begun."""
        self.level += cost / max(self._open, 1)

    def skip_to(self, start: float) -> None:
        """Raise the level to the least start that waits: nobody is in turn, and nothing is to stand still."""
        self.level = max(self.level, start)
