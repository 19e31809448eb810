"""Predictions follow what was measured; between two sizes they lie on a line."""

import pytest

from bigbird_inference.buckets import BucketKey
from service.batching.cost_model import CostModel, MeasuredCurve
from tests.service.manual_executor import FakeClock

KEY = BucketKey("base", 512)


def measured_model(clock: FakeClock) -> CostModel:
    model = CostModel(clock)
    for items, seconds in ((1, 1.0), (2, 1.8), (4, 3.2)):
        model.measured(KEY, items, seconds)
    return model


def test_before_any_run_a_prediction_is_what_warm_up_measured() -> None:
    model = measured_model(FakeClock())
    assert [model.predict(KEY, items) for items in (1, 2, 3, 4, 6)] == pytest.approx([1.0, 1.8, 2.5, 3.2, 4.6])
    assert model.measurements == {KEY: [(1, 1.0), (2, 1.8), (4, 3.2)]}


def test_slower_runs_raise_the_prediction_of_their_size_and_of_no_other() -> None:
    model = measured_model(FakeClock())
    model.observe(KEY, 2, 3.6)
    # A fifth of the way from 1 to 2 times what was measured.
    assert model.predict(KEY, 2) == pytest.approx(1.8 * 1.2)
    assert model.predict(KEY, 1) == 1.0
    assert model.predict(KEY, 4) == pytest.approx(3.2)


def test_the_average_follows_a_lasting_change() -> None:
    model = measured_model(FakeClock())
    for _ in range(40):
        model.observe(KEY, 1, 0.5)
    assert model.predict(KEY, 1) == pytest.approx(0.5, rel=1e-3)


def test_sizes_between_two_measured_ones_share_an_average() -> None:
    model = measured_model(FakeClock())
    for _ in range(40):
        model.observe(KEY, 3, 5.0)
    assert model.predict(KEY, 4) == pytest.approx(6.4, rel=1e-3)


def test_one_run_that_was_held_up_counts_as_four_times_slower_at_most() -> None:
    model = measured_model(FakeClock())
    model.observe(KEY, 1, 1000.0)
    assert model.predict(KEY, 1) == pytest.approx(1 + 0.2 * 3)


def test_what_is_not_seen_again_is_forgotten_by_half_each_minute() -> None:
    clock = FakeClock()
    model = measured_model(clock)
    model.observe(KEY, 1, 4.0)
    clock.advance(60)
    assert model.predict(KEY, 1) == pytest.approx(1.3)
    clock.advance(3600)
    assert model.predict(KEY, 1) == pytest.approx(1.0)


def test_a_bucket_that_was_never_measured_learns_from_its_first_run() -> None:
    model = CostModel(FakeClock())
    assert 0 < model.predict(KEY, 4) < 1e-3
    model.observe(KEY, 2, 3.0)
    assert model.predict(KEY, 4) == 6.0


def test_a_measurement_of_nothing_still_divides() -> None:
    model = CostModel(FakeClock())
    model.measured(KEY, 1, 0.0)
    model.observe(KEY, 1, 0.0)
    assert model.predict(KEY, 1) > 0


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
