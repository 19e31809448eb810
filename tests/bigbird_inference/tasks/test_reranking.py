"""Relevance that follows from given logits, by hand; and what a model of pairs is shown."""

from collections.abc import Callable

import numpy as np
import pytest

from bigbird_inference.errors import InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.reranking import Relevance, RelevanceRequest, Reranking
from bigbird_inference.tokenization.encoded import TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import logits_only

MakeTask = Callable[..., Reranking]


@pytest.fixture
def make_reranking(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> MakeTask:
    """Return a function that makes the task from keywords for the manifest."""

    def make(**fields: object) -> Reranking:
        return Reranking(make_manifest(**{"task": "classify", "labels": ["relevant"], **fields}), tokenizer)

    return make


def relevance(task: Reranking, rows: list[list[float]], **fields: object) -> Relevance:
    encoded = task.encode(RelevanceRequest("Who leads?", "Alice leads.", **fields))  # type: ignore[arg-type]
    assert len(encoded.windows) == len(rows)
    return task.decode(encoded, logits_only([np.array(row, dtype=np.float32) for row in rows]))


@pytest.mark.parametrize(
    ("manifest", "fields", "rows", "expected"),
    [
        pytest.param({}, {}, [[np.log(3.0)]], 0.75, id="one label is a yes or no"),
        pytest.param({}, {"raw_scores": True}, [[1.5]], 1.5, id="a logit, if asked for"),
        pytest.param({"problem_type": "regression"}, {}, [[7.0]], 7.0, id="a regression gives its value"),
        pytest.param(
            {"labels": ["no", "yes"]}, {"label": "yes"}, [[0.0, np.log(4.0)]], 0.8, id="a named label of several"
        ),
        pytest.param(
            {"labels": ["no", "yes"], "problem_type": "multi_label_classification"},
            {"label": "yes"},
            [[9.0, np.log(4.0)]],
            0.8,
            id="a label that others do not compete with",
        ),
    ],
)
def test_scores(
    make_reranking: MakeTask,
    manifest: dict[str, object],
    fields: dict[str, object],
    rows: list[list[float]],
    expected: float,
) -> None:
    assert relevance(make_reranking(**manifest), rows, **fields).score == pytest.approx(expected, abs=1e-6)


def test_the_query_stands_whole_before_every_part_of_the_document(
    make_reranking: MakeTask, tokenizer: Tokenizer
) -> None:
    document = "Alice leads the Acme project in New York. " * 12
    encoded = make_reranking().encode(RelevanceRequest("Who leads?", document))
    query, ids = tokenizer.tokenize("Who leads?").ids.tolist(), tokenizer.tokenize(document).ids.tolist()
    seen: set[int] = set()
    for window in encoded.windows:
        first, count = window.first_token, window.token_count
        row = window.sequence.input_ids.tolist()
        assert row == [tokenizer.cls_id, *query, tokenizer.sep_id, *ids[first : first + count], tokenizer.sep_id]
        assert row[window.text_offset] == ids[first]
        assert len(row) <= 64
        seen |= set(range(first, first + count))
    assert len(encoded.windows) > 2
    assert seen == set(range(len(ids)))


def test_the_query_of_a_list_is_tokenised_once(make_reranking: MakeTask, monkeypatch: pytest.MonkeyPatch) -> None:
    task = make_reranking()
    seen = []
    tokenize = task.tokenize_field

    def noted(name: str, text: str, *, positions: bool = True) -> TokenizedText:
        seen.append(name)
        return tokenize(name, text, positions=positions)

    monkeypatch.setattr(task, "tokenize_field", noted)
    encode = task.encoder()
    made = [encode(RelevanceRequest("Who leads?", document)) for document in ("Alice", "Bob")]
    alone = task.encode(RelevanceRequest("Who leads?", "Bob"))
    assert seen == ["query", "document", "document", "query", "document"]
    ids = [own.windows[0].sequence.input_ids.tolist() for own in (made[1], alone)]
    assert ids[0] == ids[1]


def test_the_best_window_speaks_for_the_document(make_reranking: MakeTask) -> None:
    document = "Alice leads the Acme project in New York. " * 12
    task = make_reranking()
    encoded = task.encode(RelevanceRequest("Who leads?", document, raw_scores=True))
    rows = [[-1.0]] * len(encoded.windows)
    rows[1] = rows[2] = [2.0]
    outputs = logits_only([np.array(row, dtype=np.float32) for row in rows])
    assert task.decode(encoded, outputs) == Relevance(2.0, 1)


@pytest.mark.parametrize(
    ("label", "told"), [(None, "label is needed"), ("maybe", "none of the model's labels: no, yes")]
)
def test_a_label_that_is_not_clear_is_refused(make_reranking: MakeTask, label: str | None, told: str) -> None:
    with pytest.raises(InvalidInput, match=told):
        make_reranking(labels=["no", "yes"]).encode(RelevanceRequest("Who?", "Alice", label))


@pytest.mark.parametrize(
    ("labels", "label", "column"),
    [
        pytest.param(["no", "yes"], None, 1, id="meant where none is named"),
        pytest.param(["no", "yes"], "no", 0, id="another is named"),
        pytest.param(["relevant"], None, 0, id="a model that does not have it"),
    ],
)
def test_the_usual_label_is_meant_where_none_is_named(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer, labels: list[str], label: str | None, column: int
) -> None:
    task = Reranking(make_manifest(task="classify", labels=labels), tokenizer, usual_label="yes")
    row = [float(index + 5) for index in range(len(labels))]
    assert relevance(task, [row], label=label, raw_scores=True).score == row[column]
