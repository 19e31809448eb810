import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from evaluation.asking import Answer, Outcome, Refusal
from evaluation.datasets.base import Judgement
from evaluation.datasets.question_answering import QuestionAnswering
from tests.evaluation.asked import answer
from tests.evaluation.datasets.values import right, values

FIRST, SECOND = "The red fox ran.", "A blue fox slept."


def file(folder: Path, *, impossible: bool) -> Path:
    """Write three questions about two documents, and one that has no answer."""

    def question(name: str, *answers: tuple[str, int]) -> dict[str, Any]:
        return {"id": name, "question": f"{name}?", "answers": [{"text": t, "answer_start": s} for t, s in answers]}

    first = [question("a", ("red fox", 4)), question("b", ("ran", 12))]
    second = [question("c", ("blue fox", 2), ("fox", 7))]
    if impossible:
        second.append({"id": "d", "question": "d?", "is_impossible": True, "answers": []})
    paragraphs = [{"context": FIRST, "qas": first}, {"context": SECOND, "qas": second}]
    path = folder / "dev.json"
    path.write_text(json.dumps({"data": [{"paragraphs": paragraphs}]}))
    return path


def said(text: str, *others: tuple[str, float], score: float = 0.9) -> Answer:
    spans = [{"answer": text, "score": score}, *({"answer": other, "score": own} for other, own in others)]
    return answer(answer=text, alternatives=spans)


def test_every_question_is_asked_about_its_context(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=False), {"max_answer_tokens": 9})
    assert [item.document for item in dataset.items] == [0, 0, 1]
    assert dataset.items[2].body == {"question": "c?", "context": SECOND, "max_answer_tokens": 9}
    assert dataset.description == "SQuAD v1.1, 3 questions about 2 documents"


def test_figures_of_the_first_version(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=False), {})
    scores = dataset.score([said("The red fox!"), said("fox ran"), said("fox")])
    # Right; one of two words too many: 2 * 1 / (2 + 1); right by the second answer.
    assert values(dataset, scores) == {"exact match": (0.666667, 3), "F1": (pytest.approx(0.888889), 3)}
    assert right(scores) == [True, False, True]


def test_impossible_questions_are_asked_for_and_have_figures_of_their_own(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    assert dataset.items[0].body["no_answer"] is True
    outcomes = [said("red fox"), said("", ("ran", 0.4)), said("blue", ("", 0.1)), said("")]
    scores = dataset.score(outcomes)
    assert values(dataset, scores) == {
        "exact match": (0.5, 4),
        "F1": (pytest.approx((1 + 0 + 2 / 3 + 1) / 4), 4),
        "exact match, answerable": (0.333333, 3),
        "F1, answerable": (pytest.approx((1 + 0 + 2 / 3) / 3), 3),
        "exact match, impossible": (1.0, 1),
        # Two empty answers, one of them right, one impossible question: 2 * 1 / (2 + 1).
        "no-answer F1": (0.666667, 1),
        # With a threshold from log(0.9 / 0.4) up, "ran" is answered as well, and all but "blue" is right.
        "best exact match": (0.75, 4),
        "threshold of best exact match": (0.81093, 4),
        "best F1": (pytest.approx((1 + 1 + 2 / 3 + 1) / 4), 4),
        "threshold of best F1": (0.81093, 4),
    }
    assert right(scores) == [True, False, False, True]


def test_a_refused_question_is_wrong_even_if_it_has_no_answer(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    refused: list[Outcome] = [said("red fox"), said("ran"), Refusal("422"), Refusal("422")]
    found = values(dataset, dataset.score(refused))
    assert found["exact match"] == found["best exact match"] == (0.5, 4)
    assert found["exact match, impossible"] == (0.0, 1)
    assert found["no-answer F1"] == (0.0, 1)


def test_a_threshold_goes_by_how_many_times_more_probable_the_empty_answer_is(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    # By differences of scores the last question (-0.02) would be answered before the first three (-0.009).
    unsure = [said(text, ("", 0.001), score=0.01) for text in ("red fox", "ran", "blue fox")]
    found = values(dataset, dataset.score([*unsure, said("slept", ("", 0.40), score=0.42)]))
    assert found["best exact match"] == (1.0, 4)
    assert found["threshold of best exact match"] == (pytest.approx(math.log(0.1), abs=1e-6), 4)


def test_a_threshold_goes_by_the_kind_of_answer_alone_where_the_model_tells_it(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})

    def told(text: str, null: float, span: float) -> Answer:
        spans = [{"answer": text, "score": span}, {"answer": "", "score": null}]
        return answer(answer=text, alternatives=spans, answer_type="short", answer_type_score=0.5)

    # By the spans' scores, too, the first three (0.1 / 0.01) would be answered after the last one (0.3 / 0.9).
    outcomes = [*(told(text, 0.1, 0.01) for text in ("red fox", "ran", "blue fox")), told("slept", 0.3, 0.9)]
    kept = [Answer(dataset.needed(outcome.body), outcome.tokens) for outcome in outcomes]
    for asked in (outcomes, kept):
        found = values(dataset, dataset.score(asked))
        assert found["best exact match"] == (1.0, 4)
        assert found["threshold of best exact match"] == (pytest.approx(math.log(0.1 / 0.9), abs=1e-6), 4)


def test_a_threshold_of_minus_infinity_answers_nothing(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    scores = dataset.score([said("wrong", ("", 0.1))] * 4)
    thresholds = [figure for figure in scores.figures if figure.name == "threshold of best exact match"]
    assert [figure.statistic(np.arange(2)) for figure in thresholds] == [-math.inf]


def test_an_empty_answer_that_is_not_listed_is_taken_to_score_as_the_last_that_is(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    assert dataset.items[0].body["top_k"] == 100
    listed = said("slept", ("", 0.25), score=0.5)
    scores = dataset.score([said("red fox", ("x", 0.4), ("y", 0.1), score=0.8), listed, listed, listed])
    found = values(dataset, scores)
    # The first is answered from log(0.1 / 0.8), the others from log(0.25 / 0.5).
    assert found["threshold of best exact match"] == (pytest.approx(math.log(1 / 8), abs=1e-6), 4)
    assert scores.notes == [
        "For 1 questions the empty answer was not among the 100 best; for the best thresholds it is taken to score as "
        "much as the last of them, which is the most that it can."
    ]


def test_scores_of_0_are_no_error(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    scores = dataset.score([said("red fox", ("", 0.0), score=0.0), *[said("ran", ("", 0.0))] * 3])
    found = values(dataset, scores)
    assert found["best exact match"] == (0.5, 4)


def test_what_is_kept_of_an_answer_gives_the_same_figures(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    outcomes = [
        said("red fox", ("x", 0.4), ("", 0.3), ("y", 0.1)),
        said("", ("ran", 0.4), ("y", 0.1)),
        said("blue", ("fox", 0.4), ("y", 0.1)),
        said(""),
    ]
    kept = [Answer(dataset.needed(outcome.body), outcome.tokens) for outcome in outcomes]
    assert values(dataset, dataset.score(kept)) == values(dataset, dataset.score(outcomes))
    assert dataset.score(kept).notes == dataset.score(outcomes).notes != []
    assert [[one["answer"] for one in each.body["alternatives"]] for each in kept] == [
        ["red fox", ""],
        ["ran", ""],
        ["blue", "y"],
        [""],
    ]


def test_each_question_is_judged_under_its_own_name(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    assert [item.id for item in dataset.items] == ["a", "b", "c", "d"]
    assert dataset.judge([said("the red fox"), said(""), Refusal("422"), said("")]) == [
        Judgement(["red fox"], "the red fox", True, 1.0),
        Judgement(["ran"], "", False, 0.0),
        Judgement(["blue fox", "fox"], None, False, 0.0),
        Judgement([], "", True, 1.0),
    ]
