from collections.abc import Iterator

import pytest

from bigbird_inference.tokenization.encoded import TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.entity_recognition import entities_of
from demo.reports import Report, generate_report
from demo.tokens import (
    ENTITY_LABELS,
    entity_targets,
    mask_of_spans,
    question_inputs,
    single_inputs,
    tokens_of_span,
)

CASES = [(seed, tokens) for tokens in (60, 300, 1000) for seed in range(5)]


@pytest.fixture(params=CASES, ids=lambda case: f"report {case[0]} of {case[1]} tokens")
def tokenized(request: pytest.FixtureRequest, tokenizer: Tokenizer) -> Iterator[tuple[Report, TokenizedText]]:
    report = generate_report(*request.param)
    yield report, tokenizer.tokenize(report.text)


def test_labels_follow_the_bio_scheme() -> None:
    assert ENTITY_LABELS[:5] == ("O", "B-PER", "I-PER", "B-ORG", "I-ORG")
    assert len(ENTITY_LABELS) == 11


def test_the_tokens_of_an_answer_are_cut_out_as_the_answer(tokenized: tuple[Report, TokenizedText]) -> None:
    report, text = tokenized
    for question in report.questions:
        first, last = tokens_of_span(text, question.start, question.end)
        assert report.text[text.starts[first] : text.ends[last]] == question.answer


def test_entity_targets_group_back_to_the_entities(tokenized: tuple[Report, TokenizedText]) -> None:
    report, text = tokenized
    grouped = {
        (label, int(text.starts[first]), int(text.ends[last]))
        for label, first, last in entities_of(entity_targets(report, text).tolist())
    }
    assert grouped == {(entity.label, entity.start, entity.end) for entity in report.entities}


def test_the_mask_of_mentions_covers_them_and_nothing_else(tokenized: tuple[Report, TokenizedText]) -> None:
    report, text = tokenized
    for question in report.questions:
        marked = mask_of_spans(question.subject_mentions, text)
        for token, is_marked in enumerate(marked):
            inside = any(
                start <= text.starts[token] < text.ends[token] <= end for start, end in question.subject_mentions
            )
            has_characters = text.starts[token] < text.ends[token]
            assert not has_characters or bool(is_marked) == inside


def test_inputs_are_laid_out_as_served(tokenizer: Tokenizer) -> None:
    question, text = tokenizer.tokenize("Who leads?"), tokenizer.tokenize("Ana leads.")
    pair = question_inputs(tokenizer, question, text)
    assert pair.sequence.input_ids.tolist() == [4, *question.ids, 5, *text.ids, 5]
    assert pair.sequence.token_type_ids.tolist() == [0] * (len(question) + 2) + [1] * (len(text) + 1)
    assert pair.sequence.input_ids[pair.text_offset] == text.ids[0]
    single = single_inputs(tokenizer, text)
    assert single.sequence.input_ids.tolist() == [4, *text.ids, 5]
    assert single.sequence.token_type_ids.tolist() == [0] * (len(text) + 2)


@pytest.mark.parametrize(
    ("labels", "entities"),
    [
        pytest.param(["O", "B-PER", "I-PER", "O"], {("PER", 1, 2)}, id="one entity"),
        pytest.param(["B-PER", "B-PER"], {("PER", 0, 0), ("PER", 1, 1)}, id="two that touch"),
        pytest.param(["B-PER", "I-ORG"], {("PER", 0, 0), ("ORG", 1, 1)}, id="inside of another label starts anew"),
        pytest.param(["O", "I-LOC", "I-LOC"], {("LOC", 1, 2)}, id="inside without a beginning, to the end"),
        pytest.param(["O", "O"], set(), id="none"),
    ],
)
def test_labels_are_grouped_to_entities(labels: list[str], entities: set[tuple[str, int, int]]) -> None:
    assert entities_of([ENTITY_LABELS.index(label) for label in labels]) == entities
