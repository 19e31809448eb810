"""Which connection gives way when there are more than there may be, so that there is room for those that come.

First the longest idle one, then one that still sends a body whose request was refused, or does not read what a probe
said, then the slowest unfinished request; never one whose request has arrived in full and has no answer yet. A few
connections beyond the limit may say what they want before that is decided: `service.process.connections` does the rest.
"""

import heapq
from collections import deque
from collections.abc import Iterable
from enum import IntEnum
from typing import Protocol

HEADROOM = 32
"""Connections beyond the limit that may say what they want."""

# Refused connections that wait for their clients to hear of it; beyond them the oldest is cut.
_MOST_LINGERING = 32
# The next to go are found together: a thousand connections would have to be looked at for each that comes.
_FOUND_TOGETHER = 32
_FOUND_SECONDS = 0.05

MOST_BESIDE_LIMIT = HEADROOM + _MOST_LINGERING
"""Connections that there may be beside those of the limit."""


class Standing(IntEnum):
    """What a connection is at; the first gives way before the others, and the last never does."""

    IDLE = 0
    ANSWERED = 1
    UNFINISHED = 2
    OWED_AN_ANSWER = 3


class Guest(Protocol):
    """A connection that can give way."""

    def standing(self) -> tuple[Standing, float]:
        """Return what it is at, and since when."""
        ...

    def give_way(self, standing: Standing) -> None:
        """End."""
        ...

    def cut(self) -> None:
        """End at once, without a word."""
        ...


class Room:
    """The room of one server."""

    def __init__(self) -> None:
        self._next: list[tuple[tuple[Standing, float], Guest]] = []
        self._find_again_at = 0.0
        self._lingering: deque[Guest] = deque()

    def make(self, guests: Iterable[Guest], newcomer: Guest, last: Standing, now: float) -> bool:
        """Let the guest go that gives way first; return False if the first stands behind the last that may."""
        if now < self._find_again_at and self._let_one_go(newcomer, last):
            return True
        found = ((guest.standing(), guest) for guest in guests)
        # In reverse, so that the first is taken off the end.
        self._next = heapq.nsmallest(_FOUND_TOGETHER, found, key=lambda one: one[0])[::-1]
        self._find_again_at = now + _FOUND_SECONDS
        return self._let_one_go(newcomer, last)

    def _let_one_go(self, newcomer: Guest, last: Standing) -> bool:
        while self._next:
            standing, guest = self._next[-1]
            current = guest is not newcomer and guest.standing() == standing
            if current and standing[0] > last:
                return False
            self._next.pop()
            if current:
                guest.give_way(standing[0])
                return True
        return False

    def linger(self, guest: Guest) -> None:
        """Note that a refused connection stays for a moment."""
        self._lingering.append(guest)
        if len(self._lingering) > _MOST_LINGERING:
            self._lingering.popleft().cut()

    def left(self, guest: Guest) -> None:
        """Note that a connection is closed."""
        if guest in self._lingering:
            self._lingering.remove(guest)
