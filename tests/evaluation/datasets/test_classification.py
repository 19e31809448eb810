from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import f1_score

from evaluation.asking import Outcome, Refusal
from evaluation.connection import ModelInfo
from evaluation.data.labelled_texts import Columns
from evaluation.data.source_text import DataError
from evaluation.datasets import classification
from evaluation.datasets.base import Judgement
from evaluation.datasets.classification import Classification, LabelledFile
from evaluation.errors import EvaluationError
from evaluation.figures import estimate_together
from evaluation.metrics.classification import LabelCounts, f1_by_label
from evaluation.metrics.intervals import Resampling, bootstrap
from tests.evaluation.asked import answer, model
from tests.evaluation.datasets.values import right, values


def open_file(folder: Path, content: str, info: ModelInfo, **fields: Any) -> Classification:
    path = folder / "dev.tsv"
    path.write_text(content)
    return Classification(LabelledFile(path, Columns()), info, fields)


def test_bad_rows_and_unknown_labels_are_told_together(tmp_path: Path) -> None:
    path = tmp_path / "dev.tsv"
    path.write_text("text\tlabel\na\tyes\n\tno\nb\tmaybe\n")
    with pytest.raises(
        DataError, match=r"2 mistakes:\n.*dev\.tsv:3: 'text' is empty\n.*dev\.tsv:4: unknown label 'maybe'"
    ):
        Classification(LabelledFile(path, Columns()), model(), {})


def test_texts_and_pairs_are_sent_under_the_names_of_the_service(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "sentence1\tsentence2\tlabel\na\tb\tyes\n", model(), window_stride=3)
    assert dataset.items[0].body == {"text": "a", "text_pair": "b", "window_stride": 3}
    assert dataset.description == "1 pairs of texts with a label each"


def test_figures_of_one_label(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "text\tlabel\na\tno\nb\tyes\nc\tyes\nd\tyes\n", model())
    outcomes: list[Outcome] = [answer(label="no"), answer(label="yes"), answer(label="no"), Refusal("422")]
    scores = dataset.score(outcomes)
    found = values(dataset, scores)
    assert found["accuracy"] == (0.5, 4)
    assert found["F1 of no"] == (pytest.approx(2 / 3), 1)
    assert found["F1 of yes"] == (0.5, 3)
    assert found["macro F1"] == (pytest.approx(0.583333), 4)
    assert right(scores) == [True, True, False, False]


def test_labels_of_a_file_may_be_their_numbers_as_in_glue(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "sentence\tlabel\na\t0\nb\t1\n", model(labels=["no", "yes"]))
    assert right(dataset.score([answer(label="no"), answer(label="yes")])) == [True, True]


def test_labels_that_are_numbers_themselves_stay_what_they_are(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "sentence\tlabel\na\t0\nb\t1\n", model(labels=["1", "0"]))
    assert right(dataset.score([answer(label="0"), answer(label="1")])) == [True, True]


def test_a_label_that_the_model_does_not_have_is_named_with_its_line(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"dev\.tsv:3: unknown label 'maybe'; the model's labels are: no, yes$"):
        open_file(tmp_path, "sentence\tlabel\na\tno\nb\tmaybe\n", model())


def scored(**scores: float) -> Any:
    return answer(labels=[{"label": label, "score": score} for label, score in scores.items()])


def test_figures_of_several_labels(tmp_path: Path) -> None:
    info = model(labels=["x", "y", "z"], problem_type="multi_label_classification")
    dataset = open_file(tmp_path, "text\tlabels\na\tx,y\nb\t\nc\tz\nd\t\n", info)
    outcomes = [scored(x=0.9, y=0.5, z=0.49), scored(x=0.1, y=0.1, z=0.1), scored(x=0.9, y=0.2, z=0.1), Refusal("422")]
    scores = dataset.score(outcomes)
    found = values(dataset, scores)
    assert found["exact set of labels"] == (0.5, 4)
    assert found["micro F1"] == (pytest.approx(2 * 2 / (3 + 3), abs=1e-6), 4)
    assert found["F1 of z"] == (0.0, 1)
    assert right(scores) == [True, True, False, False]


def test_figures_of_numbers_leave_out_refused_texts_and_say_so(tmp_path: Path) -> None:
    info = model(labels=["score"], problem_type="regression")
    dataset = open_file(tmp_path, "text\tlabel\na\t1\nb\t2\nc\t3\nd\t9\n", info)
    outcomes: list[Outcome] = [*(answer(score=value) for value in (2.0, 4.0, 9.0)), Refusal("422")]
    scores = dataset.score(outcomes)
    assert values(dataset, scores) == {
        "Pearson": (pytest.approx(0.970725), 3),
        "Spearman": (1.0, 3),
        "mean absolute error": (3.0, 3),
    }
    assert scores.decisions is None
    assert scores.notes == ["1 refused texts have no number and are left out of the figures."]


def test_a_model_of_several_numbers_cannot_be_evaluated(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match="m gives 2 numbers; only one can be evaluated"):
        open_file(tmp_path, "text\tlabel\na\t1\n", model(problem_type="regression"))


@pytest.mark.parametrize(
    ("other", "problem"),
    [
        pytest.param({"problem_type": "single_label_classification"}, None, id="it only says what is so anyway"),
        pytest.param({"labels": ["yes", "no"]}, None, id="it counts its labels differently"),
        pytest.param({"labels": ["no", "maybe"]}, "their labels are not the same", id="it has another label"),
        pytest.param(
            {"problem_type": "multi_label_classification"},
            "they do not predict the same kind of thing",
            id="it gives any number of labels",
        ),
    ],
)
def test_two_models_can_be_compared_unless(tmp_path: Path, other: dict[str, Any], problem: str | None) -> None:
    dataset = open_file(tmp_path, "text\tlabel\na\tno\n", model())
    own, its = dataset.basis(model()), dataset.basis(model(**other))
    assert [name for name in own if own[name] != its[name]] == ([] if problem is None else [problem])


def test_models_that_count_their_labels_differently_are_not_compared_on_numbers_of_labels(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "text\tlabel\na\t0\nb\t1\n", model(labels=["no", "yes"]))
    own, its = dataset.basis(model(labels=["no", "yes"])), dataset.basis(model(labels=["yes", "no"]))
    different = [name for name in own if own[name] != its[name]]
    assert different == ["the file gives labels by number, and they number them differently"]


def test_models_of_a_number_are_compared_whatever_they_call_it(tmp_path: Path) -> None:
    one, other = (model(labels=[name], problem_type="regression") for name in ("score", "LABEL_0"))
    dataset = open_file(tmp_path, "text\tlabel\na\t1\n", one)
    assert dataset.basis(one) == dataset.basis(other)


def test_intervals_of_every_label_are_those_of_its_f1_alone(tmp_path: Path) -> None:
    generator = np.random.default_rng(4)
    labels = ["a", "b", "c", "never"]
    expected, given = (generator.choice(labels[:3], size=60) for _ in range(2))
    given = np.where(generator.random(60) < 0.6, expected, given)
    rows = "".join(f"t\t{label}\n" for label in expected)
    dataset = open_file(tmp_path, f"text\tlabel\n{rows}", model(labels=labels))
    scores = dataset.score([answer(label=str(label)) for label in given])
    assert scores.group is not None
    found = estimate_together(scores.group, 60, Resampling(resamples=150))
    assert [one.name for one in found] == [f"F1 of {label}" for label in labels]
    for label, own in zip(labels[:3], found, strict=False):

        def f1(documents: np.ndarray, label: str = label) -> float:
            sides = expected[documents] == label, given[documents] == label
            return float(f1_score(*sides, zero_division=np.nan))

        assert own.value == pytest.approx(f1(np.arange(60)))
        interval = bootstrap(f1, 60, Resampling(resamples=150))
        assert own.interval is not None and interval is not None
        assert (own.interval.low, own.interval.high) == pytest.approx((interval.low, interval.high))
    assert np.isnan(found[3].value)
    assert (found[3].items, found[3].interval) == (0, None)


def test_the_f1_of_many_labels_is_computed_as_often_as_that_of_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []

    def counted(counts: LabelCounts) -> Any:
        calls.append(counts)
        return f1_by_label(counts)

    monkeypatch.setattr(classification, "f1_by_label", counted)
    dataset = open_file(tmp_path, "text\tlabel\na\t1\n", model(labels=[str(number) for number in range(50)]))
    scores = dataset.score([answer(label="1")])
    assert scores.group is not None
    estimate_together(scores.group, 1, Resampling(resamples=1000))
    assert len(calls) == 1 + 1000 / 100


def test_each_text_is_judged(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "text\tlabel\na\tno\nb\tyes\n", model())
    assert dataset.judge([answer(label="no"), Refusal("422")]) == [
        Judgement("no", "no", True, None),
        Judgement("yes", None, False, None),
    ]


def test_each_text_of_several_labels_is_judged(tmp_path: Path) -> None:
    info = model(labels=["x", "y", "z"], problem_type="multi_label_classification")
    dataset = open_file(tmp_path, "text\tlabels\na\ty,x\nb\t\nc\t\n", info)
    assert dataset.judge([scored(x=0.1, y=0.9, z=0.5), scored(x=0.1, y=0.1, z=0.1), Refusal("422")]) == [
        Judgement(["x", "y"], ["y", "z"], False, 0.5),
        Judgement([], [], True, None),
        Judgement([], None, False, None),
    ]


def test_each_number_is_given_beside_the_expected_one(tmp_path: Path) -> None:
    dataset = open_file(tmp_path, "text\tlabel\na\t1.5\n", model(labels=["s"], problem_type="regression"))
    assert dataset.judge([answer(score=2.5)]) == [Judgement(1.5, 2.5, None, None)]
