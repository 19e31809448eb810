"""Dates and sums of money in the many ways reports write them.

Within one report no date and no sum is contained in another one ("May 2019" in "12 May 2019"), so that the text of an
answer occurs exactly once.
"""

import random
from collections.abc import Callable
from functools import partial

from demo.grammar import words

MONTHS = words("""
January February March April May June July August September October November December
""")

_SYMBOLS = ["€", "$", "£"]
_CODES = ["EUR", "USD", "GBP", "CHF", "NOK"]
_SEASONS = ["spring", "summer", "autumn", "winter", "early", "late"]
_NUMBERS = ["two", "three", "four", "five", "six", "seven", "eight", "nine"]
_CURRENCIES = ["euros", "dollars", "pounds", "francs", "kroner", "yen"]

_PAST = (1950, 2025)
_TO_COME = (2026, 2055)


def _date(rng: random.Random, years: tuple[int, int]) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(*years)
    name = MONTHS[month - 1]
    style = rng.random()
    if style < 0.34:
        return f"{day} {name} {year}"
    if style < 0.52:
        return f"{name} {day}, {year}"
    if style < 0.70:
        return f"{name} {year}"
    if style < 0.77:
        return f"{year}"
    if style < 0.84:
        return f"{year}-{month:02d}-{day:02d}"
    if style < 0.90:
        return f"{day:02d}.{month:02d}.{year}"
    if style < 0.95:
        return f"Q{rng.randint(1, 4)} {year}"
    return f"{rng.choice(_SEASONS)} {year}"


def preposition_of(date: str) -> str:
    """Return the word that goes before a date: "on" before a day, "in" before a longer time."""
    is_longer = date.isdigit() or (" " in date and "," not in date and not date[0].isdigit())
    return "in" if is_longer else "on"


def _sum_of_money(rng: random.Random) -> str:
    style = rng.random()
    if style < 0.45:
        is_large = rng.random() < 0.1
        largest = 4 if is_large else 99
        has_fraction = rng.random() < 0.6
        number = f"{rng.randint(1, largest)}.{rng.randint(1, 9)}" if has_fraction else f"{rng.randint(2, largest)}"
        scale = "billion" if is_large else "million"
        form = rng.random()
        if form < 0.5:
            return f"{number} {scale} {rng.choice(_CURRENCIES)}"
        if form < 0.75:
            return f"{rng.choice(_SYMBOLS)}{number} {scale}"
        if form < 0.9:
            return f"{rng.choice(_CODES)} {number} {scale}"
        return f"{rng.choice(_SYMBOLS)}{number}{'bn' if is_large else 'm'}"
    if style < 0.51:
        return f"{rng.choice(_NUMBERS)} {rng.choice(['million', 'hundred thousand'])} {rng.choice(_CURRENCIES)}"
    value = rng.randint(1, 999) * 1000 + rng.choice([0, 0, 500, rng.randint(1, 999)])
    number = f"{value:,}" if rng.random() < 0.85 else f"{value:,}".replace(",", " ")
    if style < 0.68:
        return f"{rng.choice(_SYMBOLS)}{number}"
    if style < 0.84:
        return f"{number} {rng.choice(_CURRENCIES)}"
    return f"{rng.choice(_CODES)} {number}"


class AmountSource:
    """Draws dates and sums for one report, none of them contained in another."""

    def __init__(self, rng: random.Random) -> None:
        """Start with nothing used; ``rng`` is the source of all choices."""
        self._rng = rng
        self._used: list[str] = []

    def date(self, *, to_come: bool = False) -> str:
        """Draws a date: a day, a month, a quarter, a season or a year; in the past, or after all of those."""
        return self._unused(partial(_date, years=_TO_COME if to_come else _PAST))

    def money(self) -> str:
        """Draws a sum of money with its currency."""
        return self._unused(_sum_of_money)

    def _unused(self, draw: Callable[[random.Random], str]) -> str:
        for _ in range(1000):
            candidate = draw(self._rng)
            if not any(candidate in used or used in candidate for used in self._used):
                self._used.append(candidate)
                return candidate
        raise ValueError("a report with so many dates or sums cannot keep them apart")
