import pytest

from benchmarks.interleaving import repeats_for, round_robin


def test_everybody_runs_once_before_anybody_runs_again() -> None:
    assert round_robin({"a": 2, "b": 2, "c": 2}) == ["a", "b", "c", "a", "b", "c"]


def test_those_with_fewer_runs_have_them_spread_over_the_rounds() -> None:
    order = round_robin({"often": 6, "seldom": 2})
    assert order == ["often", "often", "often", "seldom", "often", "often", "often", "seldom"]


@pytest.mark.parametrize("seldom", range(1, 10))
def test_everybody_has_all_of_their_runs(seldom: int) -> None:
    order = round_robin({"often": 9, "seldom": seldom})
    assert (order.count("often"), order.count("seldom")) == (9, seldom)


def test_nobody_gives_no_runs() -> None:
    assert round_robin({}) == []


@pytest.mark.parametrize(
    ("seconds", "quick", "repeats"),
    [
        pytest.param(12.0, False, 3, id="a slow one has few runs"),
        pytest.param(20.0, False, 2, id="one that is slower still has two"),
        pytest.param(2.0, False, 5, id="one of some seconds has more"),
        pytest.param(0.3, False, 9, id="a fast one has many"),
        pytest.param(0.3, True, 3, id="in the quick form all have few"),
    ],
)
def test_slow_runs_are_repeated_less(seconds: float, quick: bool, repeats: int) -> None:
    assert repeats_for(seconds, quick=quick) == repeats
