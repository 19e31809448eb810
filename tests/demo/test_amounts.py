import random
import re
from itertools import permutations

import pytest

from demo.amounts import AmountSource, preposition_of


@pytest.mark.parametrize(
    ("date", "preposition"),
    [
        pytest.param("12 May 2019", "on", id="a day written day first"),
        pytest.param("May 12, 2019", "on", id="a day written month first"),
        pytest.param("2019-05-12", "on", id="a day in digits"),
        pytest.param("May 2019", "in", id="a month"),
        pytest.param("2019", "in", id="a year"),
    ],
)
def test_the_preposition_fits_the_date(date: str, preposition: str) -> None:
    assert preposition_of(date) == preposition


def test_what_is_to_come_lies_after_all_that_has_been() -> None:
    amounts = AmountSource(random.Random(4))
    past = [year_of(amounts.date()) for _ in range(60)]
    to_come = [year_of(amounts.date(to_come=True)) for _ in range(60)]
    assert max(past) < 2026 <= min(to_come)


def year_of(date: str) -> int:
    (year,) = re.findall(r"\d{4}", date)
    return int(year)


def test_no_amount_of_a_report_is_contained_in_another() -> None:
    amounts = AmountSource(random.Random(3))
    drawn = [amounts.date() for _ in range(40)] + [amounts.money() for _ in range(40)]
    assert not [pair for pair in permutations(drawn, 2) if pair[0] in pair[1]]
