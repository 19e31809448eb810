import json
from pathlib import Path
from typing import Any

import pytest

from evaluation.asking import Answer, Outcome, Refusal
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
        # With the threshold between 0.5 and 0.9, "ran" is answered as well, and all but "blue" is right.
        "best exact match": (0.75, 4),
        "best F1": (pytest.approx((1 + 1 + 2 / 3 + 1) / 4), 4),
    }
    assert right(scores) == [True, False, False, True]


def test_a_refused_question_is_wrong_even_if_it_has_no_answer(tmp_path: Path) -> None:
    dataset = QuestionAnswering(file(tmp_path, impossible=True), {})
    refused: list[Outcome] = [said("red fox"), said("ran"), Refusal("422"), Refusal("422")]
    found = values(dataset, dataset.score(refused))
    assert found["exact match"] == found["best exact match"] == (0.5, 4)
    assert found["exact match, impossible"] == (0.0, 1)
    assert found["no-answer F1"] == (0.0, 1)
