"""Labels that follow from given logits, by hand and against the pipeline of transformers."""

from collections.abc import Callable
from contextlib import nullcontext
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers.pipelines.text_classification import TextClassificationPipeline

from bigbird_inference.errors import BundleError, InferenceFailed, InvalidInput
from bigbird_inference.tasks.classification import Classification, ClassificationRequest, LabelScore
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import MODEL_CONFIG, logits_only

MakeTask = Callable[..., Classification]


def classify(task: Classification, values: list[float], **fields: Any) -> list[LabelScore]:
    encoded = task.encode(ClassificationRequest("Alice leads the project.", **fields))
    return task.decode(encoded, logits_only([np.array(values, dtype=np.float32)])).labels


def test_labels_are_sorted_by_softmax_score(make_classification: MakeTask) -> None:
    found = classify(make_classification(), [np.log(1.0), np.log(6.0), np.log(3.0)])
    assert [entry.label for entry in found] == ["b", "c", "a"]
    assert [entry.score for entry in found] == pytest.approx([0.6, 0.3, 0.1], abs=1e-6)


def test_equal_scores_keep_the_models_order(make_classification: MakeTask) -> None:
    assert [entry.label for entry in classify(make_classification(), [1.0, 2.0, 1.0])] == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("problem_type", "labels", "expected"),
    [
        (None, ["a", "b"], [0.7310586, 0.2689414]),
        (None, ["a"], [0.7310586]),
        ("single_label_classification", ["a"], [0.7310586]),
        ("multi_label_classification", ["a", "b"], [0.7310586, 0.5]),
        ("regression", ["a"], [1.0]),
        ("regression", ["a", "b"], [1.0, 0.0]),
    ],
    ids=[
        "several labels of an unknown kind compete",
        "one label of an unknown kind is a yes or no",
        "a single label is a yes or no as well",
        "several labels can hold at once",
        "a regression gives its value",
        "a regression gives all its values",
    ],
)
def test_the_function_follows_from_the_problem_type(
    make_classification: MakeTask, problem_type: str | None, labels: list[str], expected: list[float]
) -> None:
    task = make_classification(problem_type=problem_type, labels=labels)
    assert [entry.score for entry in classify(task, [1.0, 0.0][: len(labels)])] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(
    ("function", "expected"),
    [("softmax", [0.9525741, 0.0474259]), ("sigmoid", [0.8807971, 0.2689414]), ("none", [2.0, -1.0])],
)
def test_a_request_can_choose_the_function(make_classification: MakeTask, function: str, expected: list[float]) -> None:
    task = make_classification(problem_type="regression", labels=["a", "b"])
    assert [entry.score for entry in classify(task, [2.0, -1.0], function=function)] == pytest.approx(expected)


def test_extreme_logits_do_not_overflow(make_classification: MakeTask) -> None:
    found = classify(make_classification(), [3e38, -3e38, 0.0], function="sigmoid")
    assert [(entry.label, entry.score) for entry in found] == [("a", 1.0), ("c", 0.5), ("b", 0.0)]
    assert classify(make_classification(), [3e38, -3e38, 0.0])[0].score == 1.0


@pytest.mark.parametrize(("top_k", "count"), [(None, 3), (1, 1), (2, 2), (99, 3)])
def test_top_k_cuts_the_list(make_classification: MakeTask, top_k: int | None, count: int) -> None:
    assert len(classify(make_classification(), [1.0, 2.0, 3.0], top_k=top_k)) == count


@pytest.mark.parametrize(
    ("threshold", "top_k", "kept"),
    [(None, None, ["a", "c", "b"]), (0.0, None, ["a", "c", "b"]), (0.5, None, ["a", "c"]), (0.5, 1, ["a"]),
     (0.51, None, ["a"]), (0.9, None, [])],
)  # fmt: skip
def test_labels_below_the_threshold_are_left_out(
    make_classification: MakeTask, threshold: float | None, top_k: int | None, kept: list[str]
) -> None:
    task = make_classification(problem_type="multi_label_classification")
    encoded = task.encode(ClassificationRequest("Alice", top_k=top_k, threshold=threshold))
    logits = np.array([2.0, -1.0, 0.0], dtype=np.float32)  # sigmoids 0.88, 0.27 and 0.5
    answer = task.decode(encoded, logits_only([logits]))
    assert [entry.label for entry in answer.labels] == kept
    best = answer.labels[0] if kept else None
    assert (answer.label, answer.score) == ((best.label, best.score) if best else (None, None))


@pytest.mark.parametrize(
    ("problem_type", "function", "refused"),
    [
        (None, "none", True),
        ("regression", None, True),
        ("regression", "sigmoid", False),
        (None, None, False),
    ],
)
def test_a_threshold_is_for_probabilities(
    make_classification: MakeTask, problem_type: str | None, function: Any, refused: bool
) -> None:
    task = make_classification(problem_type=problem_type)
    with pytest.raises(InvalidInput, match=r"^threshold ") if refused else nullcontext():
        task.encode(ClassificationRequest("Alice", function=function, threshold=0.5))


@settings(deadline=None)
@given(
    values=st.lists(st.floats(-30, 30, width=32), min_size=1, max_size=6),
    problem_type=st.sampled_from([None, "single_label_classification", "multi_label_classification", "regression"]),
    function=st.sampled_from([None, "softmax", "sigmoid", "none"]),
)
def test_scores_equal_those_of_transformers(
    make_classification: MakeTask, values: list[float], problem_type: str | None, function: str | None
) -> None:
    labels = [f"label-{number}" for number in range(len(values))]
    pipeline = TextClassificationPipeline.__new__(TextClassificationPipeline)
    config = SimpleNamespace(problem_type=problem_type, num_labels=len(values), id2label=dict(enumerate(labels)))
    pipeline.model = SimpleNamespace(config=config)
    _, _, options = pipeline._sanitize_parameters(function_to_apply=function, top_k=None)
    theirs = pipeline.postprocess({"logits": torch.tensor([values], dtype=torch.float32)}, **options)
    task = make_classification(problem_type=problem_type, labels=labels)
    ours = {entry.label: entry.score for entry in classify(task, values, function=function)}
    assert ours == pytest.approx({entry["label"]: entry["score"] for entry in theirs}, abs=1e-6)


def test_windows_count_by_their_tokens(make_classification: MakeTask, tokenizer: Tokenizer) -> None:
    text = "Alice Smith leads the Acme project in New York. " * 10
    task = make_classification(labels=["a", "b"], problem_type="regression")
    encoded = task.encode(ClassificationRequest(text, window_stride=10))
    counts = [window.token_count for window in encoded.windows]
    assert len(counts) > 2
    assert set(counts[:-1]) == {62}
    values = np.arange(2 * len(counts), dtype=np.float32).reshape(-1, 2)
    found = {entry.label: entry.score for entry in task.decode(encoded, logits_only(list(values))).labels}
    for column, label in enumerate(["a", "b"]):
        total = sum(count * float(values[number, column]) for number, count in enumerate(counts))
        assert found[label] == pytest.approx(total / sum(counts))


def test_windows_hold_the_text_between_special_tokens(make_classification: MakeTask, tokenizer: Tokenizer) -> None:
    text = "Alice Smith leads the Acme project in New York. " * 10
    ids = tokenizer.tokenize(text).ids.tolist()
    for window in make_classification().encode(ClassificationRequest(text)).windows:
        part = ids[window.first_token : window.first_token + window.token_count]
        assert window.sequence.input_ids.tolist() == [1, *part, 2]
        assert window.text_offset == 1
        assert not window.sequence.token_type_ids.any()


def test_the_second_text_stands_in_every_window(make_classification: MakeTask, tokenizer: Tokenizer) -> None:
    text, pair = "Alice Smith leads the Acme project in New York. " * 10, "Who leads it?"
    ids, pair_ids = tokenizer.tokenize(text).ids.tolist(), tokenizer.tokenize(pair).ids.tolist()
    encoded = make_classification().encode(ClassificationRequest(text, pair))
    assert len(encoded.windows) > 2
    for window in encoded.windows:
        part = ids[window.first_token : window.first_token + window.token_count]
        assert window.sequence.input_ids.tolist() == [1, *part, 2, *pair_ids, 2]
        assert window.sequence.token_type_ids.tolist() == [0] * (len(part) + 2) + [1] * (len(pair_ids) + 1)
        assert len(window.sequence) <= 64


@pytest.mark.parametrize(
    "fields",
    [{"pair_types": "zeros"}, {"model": {**MODEL_CONFIG, "type_vocab_size": 1}}],
    ids=["the bundle asks for zeros", "the model knows one type only"],
)
def test_pairs_can_be_untyped(make_classification: MakeTask, fields: dict[str, Any]) -> None:
    encoded = make_classification(**fields).encode(ClassificationRequest("Alice", "Bob"))
    assert not encoded.windows[0].sequence.token_type_ids.any()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (ClassificationRequest(""), "^text is empty"),
        (ClassificationRequest("\n \t"), "^text is empty"),
        (ClassificationRequest("Alice", " "), "^text_pair is empty"),
        (ClassificationRequest("a\udfff"), "^text is not valid Unicode"),
        (ClassificationRequest("Alice", "\ud800"), "^text_pair is not valid Unicode"),
        (ClassificationRequest("Alice", "project " * 100), "^text_pair is too long"),
        (ClassificationRequest("Alice", window_stride=62), "^window_stride is 62"),
    ],
    ids=[
        "an empty text",
        "a blank text",
        "a blank second text",
        "a text that is not Unicode",
        "a second text that is not Unicode",
        "a second text longer than the model",
        "a stride of a whole window",
    ],
)
def test_impossible_requests_are_refused(
    make_classification: MakeTask, request_: ClassificationRequest, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_classification().encode(request_)


@pytest.mark.parametrize(
    "logits",
    [[np.array([1.0, np.nan, 0.0])], [np.zeros(2)], [], [np.zeros((1, 3))]],
    ids=["not a number", "too few labels", "no window", "an axis too many"],
)
def test_unusable_logits_fail_the_request(make_classification: MakeTask, logits: list[Any]) -> None:
    task = make_classification()
    with pytest.raises(InferenceFailed):
        task.decode(task.encode(ClassificationRequest("Alice")), logits_only(logits))


def test_a_bundle_without_labels_is_refused(make_classification: MakeTask) -> None:
    with pytest.raises(BundleError, match="labels"):
        make_classification(labels=[])
