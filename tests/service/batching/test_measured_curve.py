import pytest

from service.batching.cost_model import MeasuredCurve


def curve(*points: tuple[int, float]) -> MeasuredCurve:
    made = MeasuredCurve()
    for items, value in points:
        made.add(items, value)
    return made


@pytest.mark.parametrize(
    ("points", "items", "value"),
    [
        pytest.param([], 3, None, id="nothing measured is unknown"),
        pytest.param([(1, 2.0)], 3, 6.0, id="one measurement is proportional"),
        pytest.param([(4, 8.0), (1, 5.0), (2, 6.0)], 2, 6.0, id="a measured size, whatever the order of measuring"),
        pytest.param([(1, 5.0), (2, 6.0), (4, 8.0)], 3, 7.0, id="between two sizes a straight line"),
        pytest.param([(1, 5.0), (2, 6.0), (4, 10.0)], 7, 16.0, id="beyond the largest the last line goes on"),
        pytest.param([(1, 5.0), (2, 4.0)], 9, 4.0, id="beyond the largest nothing becomes cheaper"),
        pytest.param([(2, 6.0), (4, 8.0)], 1, 3.0, id="below the smallest proportional"),
    ],
)
def test_a_value_is_measured_or_lies_on_a_line(points: list[tuple[int, float]], items: int, value: float) -> None:
    assert curve(*points).at(items) == value


def test_a_second_measurement_of_a_size_replaces_the_first() -> None:
    assert curve((1, 1.0), (2, 2.0), (1, 3.0)).points == [(1, 3.0), (2, 2.0)]
