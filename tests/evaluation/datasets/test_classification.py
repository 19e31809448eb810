from pathlib import Path
from typing import Any

import pytest

from evaluation.asking import Outcome, Refusal
from evaluation.connection import ModelInfo
from evaluation.data.errors import DataError
from evaluation.data.labelled_texts import Columns
from evaluation.datasets.classification import Classification, LabelledFile
from evaluation.errors import EvaluationError
from tests.evaluation.asked import answer, model
from tests.evaluation.datasets.values import right, values


def open_file(folder: Path, content: str, info: ModelInfo, **fields: Any) -> Classification:
    path = folder / "dev.tsv"
    path.write_text(content)
    return Classification(LabelledFile(path, Columns()), info, fields)


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
