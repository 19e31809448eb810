"""Compared with seqeval, in its default mode, on tag sequences of every kind, broken ones included."""

import warnings
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from seqeval.metrics import classification_report, f1_score, precision_score, recall_score
from seqeval.metrics.sequence_labeling import get_entities

from bigbird_inference.tasks.label_scheme import LabelScheme
from evaluation.data.entity_tags import spans_of_tags
from evaluation.metrics.entities import add_up, count_entities, macro_f1, micro

TAGS = ["O", *(f"{prefix}-{kind}" for prefix in "BIES" for kind in ("PER", "LOC", "A-B"))]
sentence = st.lists(st.sampled_from(TAGS), min_size=1, max_size=8)
pair = st.integers(1, 8).flatmap(
    lambda size: st.tuples(*[st.lists(st.sampled_from(TAGS), min_size=size, max_size=size)] * 2)
)


def entities(tags: Sequence[str]) -> set[tuple[str, tuple[int, int]]]:
    return {(span.label, (span.first, span.stop)) for span in spans_of_tags(tags, LabelScheme.of(TAGS))}


@settings(deadline=None, derandomize=True, max_examples=200)
@given(sentence)
@example(["I-PER", "I-PER", "I-LOC", "B-LOC", "O", "E-PER", "S-PER", "I-PER"])
@example(["B-PER", "E-PER", "I-PER", "E-PER", "E-PER"])
def test_tags_mean_what_seqeval_takes_them_to_mean(tags: list[str]) -> None:
    assert entities(tags) == {(label, (first, last + 1)) for label, first, last in get_entities(tags)}


@settings(deadline=None, derandomize=True, max_examples=200)
@given(st.lists(pair, min_size=1, max_size=4))
def test_figures_equal_those_of_seqeval(sentences: list[tuple[list[str], list[str]]]) -> None:
    expected, predicted = (list(side) for side in zip(*sentences, strict=True))
    counts = add_up(count_entities(entities(one), entities(other)) for one, other in sentences)
    total = micro(counts)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of scikit-learn's kind, about what nothing is known of
        assert total.precision == pytest.approx(precision_score(expected, predicted))
        assert total.recall == pytest.approx(recall_score(expected, predicted))
        assert total.f1 == pytest.approx(f1_score(expected, predicted))
        if counts:
            report: dict[str, Any] = classification_report(expected, predicted, output_dict=True)
            assert macro_f1(counts) == pytest.approx(report["macro avg"]["f1-score"])
            for label, own in counts.items():
                assert own.f1 == pytest.approx(report[label]["f1-score"])
                assert own.expected == report[label]["support"]


def test_an_entity_of_the_right_place_and_the_wrong_type_is_wrong_twice() -> None:
    counts = count_entities({("PER", (0, 2))}, {("LOC", (0, 2))})
    assert micro(counts).precision == micro(counts).recall == 0
    assert (counts["PER"].expected, counts["LOC"].predicted) == (1, 1)


def test_nothing_to_find_and_nothing_found_is_0() -> None:
    assert micro({}).f1 == macro_f1({}) == 0.0
