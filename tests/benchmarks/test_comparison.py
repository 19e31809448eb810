import os
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial

import numpy as np
import pytest

from benchmarks import comparison
from benchmarks.comparison import Comparison, differences, wrong_models
from benchmarks.contenders import BLOCK_SPARSE, Contender, Contenders, FloatArray, Run
from benchmarks.models_report import Measurement
from benchmarks.worker import WorkerFailed
from bigbird_inference.runtime.session import Batch
from model_export.config import BigBirdConfig

LOGITS = np.array([[3.0, 1.0], [-1.0, -3.0]], np.float32)
SPREAD = 5**0.5
LENGTH = 64


class OneRate:
    def rates(self) -> dict[str, float]:
        return {"torch fp32": 1e9}


class FakeModel:
    """Answers at once; fails at a number of documents, or in a run."""

    def __init__(self, offset: float = 0.0, most: int = 4, runs: int = 1000) -> None:
        self._offset = offset
        self._most = most
        self._runs = runs

    def __call__(self, batch: Batch) -> FloatArray:
        self._runs -= 1
        if len(batch.input_ids) > self._most or self._runs < 0:
            raise MemoryError("no room for the batch")
        return (batch.input_ids[:, :4] / 1000 + self._offset).astype(np.float32)


def unloadable() -> Run:
    raise NotImplementedError("this graph cannot be compiled\nand more of it")


def load() -> Run:
    raise AssertionError("nothing is loaded to compare logits")


def measured(monkeypatch: pytest.MonkeyPatch, **others: Contender) -> tuple[list[Measurement], dict[str, str]]:
    monkeypatch.setattr(comparison, "MatrixProducts", OneRate)
    with ExitStack() as processes:
        contenders = Contenders({BLOCK_SPARSE: Contender(FakeModel), **others}, {"absent": "it is not installed"})
        compared = Comparison(LENGTH, contenders, processes)
        return compared.measure({}, BigBirdConfig(), quick=True), compared.left_out


@pytest.mark.parametrize(
    ("loads", "reason"),
    [
        pytest.param(
            unloadable,
            "NotImplementedError: this graph cannot be compiled",
            id="when it is loaded",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            partial(FakeModel, most=1),
            "MemoryError: no room for the batch",
            id="with more documents",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            partial(FakeModel, runs=5),
            "MemoryError: no room for the batch",
            id="in the midst of the runs",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            partial(FakeModel, offset=1.0),
            "logits differ by",
            id="because it computes something else",
            marks=pytest.mark.slow,
        ),
        pytest.param(partial(os._exit, 3), "other: the process ended with status 3", id="with its process"),
    ],
)
def test_who_fails_is_left_out_with_the_reason_and_the_others_go_on(
    monkeypatch: pytest.MonkeyPatch, loads: Callable[[], Run], reason: str
) -> None:
    found, left_out = measured(monkeypatch, other=Contender(loads, documents=(1, 4)), right=Contender(FakeModel))
    assert [entry.contender for entry in found] == [BLOCK_SPARSE, "right"]
    assert left_out["other"].startswith(reason) and "\n" not in left_out["other"]
    assert left_out["absent"] == "it is not installed"


def test_without_the_model_that_all_are_compared_with_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkerFailed, match="this graph cannot be compiled"):
        measured(monkeypatch, **{BLOCK_SPARSE: Contender(unloadable)})


def test_differences_are_in_standard_deviations_of_the_reference() -> None:
    moved = LOGITS + np.array([[0.0, -1.0], [0.0, 0.0]], np.float32)
    found = differences({BLOCK_SPARSE: LOGITS, "other": moved})
    assert found == pytest.approx({BLOCK_SPARSE: 0.0, "other": 1 / SPREAD})


@pytest.mark.parametrize(
    ("tolerance", "difference", "is_wrong"),
    [
        pytest.param(0.5, 0.4, False, id="a small difference"),
        pytest.param(0.5, 0.6, True, id="a difference beyond tolerance"),
        pytest.param(0.5, np.nan, True, id="what is not a number"),
        pytest.param(None, 6.0, False, id="another function"),
    ],
)
def test_a_model_that_computes_something_else_is_found(
    tolerance: float | None, difference: float, is_wrong: bool
) -> None:
    compared = {BLOCK_SPARSE: Contender(load), "other": Contender(load, tolerance=tolerance)}
    assert ("other" in wrong_models(compared, {BLOCK_SPARSE: 0.0, "other": difference})) is is_wrong
