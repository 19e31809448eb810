"""Compared with other implementations (tests/fixtures/make_squad_expectations.py) and with cases by hand."""

import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.metrics.squad import best_threshold, exact_match, token_f1

EXPECTED = json.loads((Path(__file__).parents[2] / "fixtures" / "squad" / "expectations.json").read_text("utf-8"))


@pytest.mark.parametrize("version", ["v1.1", "v2.0"])
def test_answers_score_as_in_other_implementations(version: Any) -> None:
    cases = EXPECTED[version]
    assert len(cases) > 100
    for case in cases:
        given = case["prediction"], case["answers"], version
        assert (exact_match(*given), token_f1(*given)) == pytest.approx((case["exact"], case["f1"]), abs=1e-6), case


@pytest.mark.parametrize(
    ("prediction", "answers", "version", "exact", "f1"),
    [
        pytest.param("the cat!", ["A Cat"], "v1.1", 1, 1, id="case, punctuation and articles do not count"),
        pytest.param("big cat", ["cat", "big dog cat"], "v1.1", 0, 0.8, id="the closest of several answers counts"),
        pytest.param("cat cat", ["cat"], "v1.1", 0, 2 / 3, id="a repeated word is right once"),
        pytest.param("", ["cat"], "v1.1", 0, 0, id="an empty prediction is wrong"),
        pytest.param("the", ["A"], "v1.1", 1, 0, id="v1.1 finds nothing equal to nothing, with no word in common"),
        pytest.param("the", ["A"], "v2.0", 1, 1, id="v2.0 takes an answer of nothing for no answer"),
        pytest.param("the", ["A", "cat"], "v2.0", 0, 0, id="v2.0 leaves out answers of nothing beside others"),
        pytest.param("", [], "v2.0", 1, 1, id="no answer is right where there is none"),
        pytest.param("cat", [], "v2.0", 0, 0, id="an answer is wrong where there is none"),
        pytest.param("", ["cat"], "v2.0", 0, 0, id="no answer is wrong where there is one"),
    ],
)
def test_a_case_by_hand(prediction: str, answers: list[str], version: Any, exact: float, f1: float) -> None:
    assert exact_match(prediction, answers, version) == exact
    assert token_f1(prediction, answers, version) == pytest.approx(f1)


@pytest.mark.parametrize("metric", ["exact", "f1"])
def test_the_best_threshold_gives_what_transformers_finds(metric: str) -> None:
    score = {"exact": exact_match, "f1": token_f1}[metric]
    for file in EXPECTED["thresholds"]:
        pairs = zip(file["predictions"], file["answers"], strict=True)
        scores = [score(prediction, answers, "v2.0") for prediction, answers in pairs]
        best = best_threshold(scores, file["no_answer"], [not answers for answers in file["answers"]])
        assert best.score == pytest.approx(file["figures"][f"best_{metric}"] / 100)
        if best.threshold > 0:  # transformers writes 0 for "nothing is answered"
            assert best.threshold == file["figures"][f"best_{metric}_thresh"]


def test_questions_with_the_same_no_answer_score_are_not_told_apart() -> None:
    # Answering the first alone would be right twice; no threshold does that.
    assert best_threshold([1.0, 0.0], [0.5, 0.5], [False, True]).score == 0.5
