"""Tags of a file against the service, which joins tokens that have these labels."""

from itertools import product

import numpy as np
import pytest

from bigbird_inference.tasks.entity_grouping import group_entities
from bigbird_inference.tasks.label_scheme import LabelScheme
from bigbird_inference.tokenization.encoded import TokenizedText
from evaluation.data.entity_tags import read_tags, spans_of_tags


def served(tags: tuple[str, ...], labels: list[str]) -> list[tuple[str, int, int]]:
    """The entities of words of one letter, each a token that is sure of its label."""
    starts = np.arange(len(tags)) * 2
    scores = np.eye(len(labels))[[labels.index(tag) for tag in tags]]
    text = " ".join("a" * len(tags))
    tokens = TokenizedText(np.full(len(tags), 9), starts, starts + 1)
    found = group_entities(text, tokens, scores, LabelScheme.of(labels), "simple", 4)
    return [(entity.entity, entity.start // 2, entity.end // 2 + 1) for entity in found]


@pytest.mark.parametrize(
    "labels",
    [
        pytest.param(["O", "B-X", "I-X", "L-X", "U-X", "B-Y", "L-Y"], id="BILOU"),
        pytest.param(["O", "X", "Y", "E-MAIL"], id="types alone"),
        pytest.param(["O", "B-X", "M-X", "E-X", "S-X"], id="BMES of a model"),
    ],
)
def test_tags_mean_what_the_service_takes_them_to_mean(labels: list[str]) -> None:
    scheme = read_tags(labels, labels).scheme
    for tags in product(labels, repeat=3):
        spans = [(span.label, span.first, span.stop) for span in spans_of_tags(tags, scheme)]
        assert spans == served(tags, labels), tags


@pytest.mark.parametrize(
    ("tags", "unread"),
    [
        pytest.param(["B-X", "L-X", "U-Y"], set(), id="BILOU"),
        pytest.param(["X", "Y-Z"], set(), id="types alone"),
        pytest.param(["B-X", "M-X", "E-X", "S-X"], {"M-X"}, id="BMES"),
        pytest.param(["B-X", "E-X", "DATE"], {"DATE"}, id="a type alone among positions"),
        pytest.param(["B_X", "I_X"], {"B_X", "I_X"}, id="underscores"),
        pytest.param(["b-X", "i-X"], {"b-X", "i-X"}, id="small letters"),
        pytest.param(["X-B", "X-I", "Y"], {"X-B", "X-I"}, id="positions at the end"),
        pytest.param(["B", "I"], {"B", "I"}, id="positions without types"),
    ],
)
def test_tags_that_are_not_read_are_found_in(tags: list[str], unread: set[str]) -> None:
    assert read_tags([*tags, "O"]).unread == unread
