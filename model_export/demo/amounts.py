"""Dates and sums of money in the many ways reports write them.

Within one report no date and no sum is contained in another one ("May 2019" in "12 May 2019"), so that the text of an
answer occurs exactly once.
"""

import random
from collections.abc import Callable

from model_export.demo.grammar import words

MONTHS = words("""
January February March April May June July August September October November December
""")

_SYMBOLS = ["€", "$", "£"]
_CODES = ["EUR", "USD", "GBP", "CHF", "NOK"]
_CURRENCIES = ["euros", "dollars", "pounds", "francs", "kroner", "yen"]


def _date(rng: random.Random) -> str:
    day, month, year = rng.randint(1, 28), rng.randint(1, 12), rng.randint(1950, 2029)
    name = MONTHS[month - 1]
    style = rng.random()
    if style < 0.40:
        return f"{day} {name} {year}"
    if style < 0.62:
        return f"{name} {day}, {year}"
    if style < 0.82:
        return f"{name} {year}"
    if style < 0.92:
        return f"{year}"
    return f"{year}-{month:02d}-{day:02d}"


def preposition_of(date: str) -> str:
    """Gives the word that goes before a date: "on" before a day, "in" before a month or a year."""
    is_month_or_year = date.isdigit() or (" " in date and "," not in date and not date[0].isdigit())
    return "in" if is_month_or_year else "on"


def _sum_of_money(rng: random.Random) -> str:
    style = rng.random()
    if style < 0.45:
        scale = "billion" if rng.random() < 0.1 else "million"
        largest = 4 if scale == "billion" else 99
        has_fraction = rng.random() < 0.6
        number = f"{rng.randint(1, largest)}.{rng.randint(1, 9)}" if has_fraction else f"{rng.randint(2, largest)}"
        if rng.random() < 0.6:
            return f"{number} {scale} {rng.choice(_CURRENCIES)}"
        return f"{rng.choice(_SYMBOLS)}{number} {scale}"
    number = f"{rng.randint(1, 999) * 1000 + rng.choice([0, 0, 500, rng.randint(1, 999)]):,}"
    if style < 0.65:
        return f"{rng.choice(_SYMBOLS)}{number}"
    if style < 0.82:
        return f"{number} {rng.choice(_CURRENCIES)}"
    return f"{rng.choice(_CODES)} {number}"


class AmountSource:
    """Draws dates and sums for one report, none of them contained in another."""

    def __init__(self, rng: random.Random) -> None:
        """Starts with nothing used; ``rng`` is the source of all choices."""
        self._rng = rng
        self._used: list[str] = []

    def date(self) -> str:
        """Draws a date: a day, a month or a year."""
        return self._unused(_date)

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
