import random
from itertools import permutations

import pytest

from demo import names
from demo.names import NameSource


@pytest.mark.parametrize(
    "stock",
    ["FIRST_NAMES", "LAST_NAMES", "PLACES", "ORGANISATION_STEMS", "ORGANISATION_KINDS", "PROJECT_WORDS"],
)
def test_a_stock_lists_no_name_twice_and_none_that_is_blank(stock: str) -> None:
    listed = getattr(names, stock)
    assert len(set(listed)) == len(listed)
    assert all(name == name.strip() != "" for name in listed)


def test_no_name_of_a_report_is_contained_in_another() -> None:
    source = NameSource(random.Random(5))
    drawn = [draw() for _ in range(12) for draw in (source.person, source.organisation, source.place)]
    assert not [pair for pair in permutations(drawn, 2) if pair[0] in pair[1]]


def test_some_names_are_not_ascii() -> None:
    source = NameSource(random.Random(5))
    assert any(not source.person().isascii() for _ in range(20))


def test_a_stock_that_runs_out_is_an_error_and_not_an_endless_loop() -> None:
    source = NameSource(random.Random(0), invented_share=0.0)
    with pytest.raises(ValueError, match="too small"):
        for _ in range(len(names.PLACES) + 1):
            source.place()
