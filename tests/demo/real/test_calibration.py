"""Reliability, by hand."""

import numpy as np
import pytest

from demo.real.calibration import Reliability, expected_calibration_error


def test_the_calibration_error_is_the_mean_gap_of_the_bins() -> None:
    # Two texts at 0.9, one of them right: a gap of 0.4; two at 0.5, both right: 0.5.
    confidence = np.array([0.9, 0.9, 0.5, 0.5], dtype=np.float32)
    right = np.array([True, False, True, True])
    assert expected_calibration_error(confidence, right) == pytest.approx((2 * 0.4 + 2 * 0.5) / 4)


def test_certainty_that_is_always_right_has_no_error() -> None:
    found = Reliability.of(np.eye(3, dtype=np.float32), np.arange(3))
    assert (found.accuracy, found.calibration_error, found.interval) == (1.0, 0.0, None)
    assert found.cells() == "3 | 1.000 | 0.000"


def test_the_interval_is_about_the_accuracy() -> None:
    probabilities = np.tile(np.array([0.8, 0.2], dtype=np.float32), (100, 1))
    found = Reliability.of(probabilities, np.repeat([0, 1], [80, 20]))
    assert found.accuracy == 0.8
    assert found.calibration_error == pytest.approx(0.0, abs=1e-6)
    assert found.interval is not None
    assert 0.68 < found.interval.low < 0.8 < found.interval.high < 0.9
