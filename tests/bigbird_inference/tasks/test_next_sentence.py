from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bigbird_inference.errors import InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.tasks.next_sentence import NextSentence, NextSentenceRequest
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.fake_model import MODEL_CONFIG, logits_only

MakeTask = Callable[..., NextSentence]


@pytest.fixture(scope="module")
def make_next_sentence(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> MakeTask:
    def make(**fields: Any) -> NextSentence:
        return NextSentence(make_manifest(**{"task": "next-sentence", **fields}), tokenizer)

    return make


def test_both_texts_stand_in_one_sequence(make_next_sentence: MakeTask, tokenizer: Tokenizer) -> None:
    (window,) = make_next_sentence().encode(NextSentenceRequest("Alice leads.", "The [SEP] office")).windows
    first, second = (tokenizer.tokenize(text).ids.tolist() for text in ("Alice leads.", "The [SEP] office"))
    assert window.sequence.input_ids.tolist() == [1, *first, 2, *second, 2]
    assert window.sequence.token_type_ids.tolist() == [0] * (len(first) + 2) + [1] * (len(second) + 1)
    assert window.sequence.positions is None


@pytest.mark.parametrize(
    "fields",
    [{"pair_types": "zeros"}, {"model": {**MODEL_CONFIG, "type_vocab_size": 1}}],
    ids=["the bundle asks for zeros", "the model knows one type only"],
)
def test_pairs_can_be_untyped(make_next_sentence: MakeTask, fields: dict[str, Any]) -> None:
    encoded = make_next_sentence(**fields).encode(NextSentenceRequest("Alice", "Bob"))
    assert not encoded.windows[0].sequence.token_type_ids.any()


def test_the_first_logit_says_that_the_second_text_follows(make_next_sentence: MakeTask) -> None:
    task = make_next_sentence()
    encoded = task.encode(NextSentenceRequest("Alice", "Bob"))
    answer = task.decode(encoded, logits_only([np.log(np.array([3.0, 1.0], dtype=np.float32))]))
    assert answer.is_next
    assert answer.score == answer.scores.is_next
    assert (answer.scores.is_next, answer.scores.not_next) == pytest.approx((0.75, 0.25), abs=1e-6)


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        (" ", "Bob", "^first is empty"),
        ("Alice", "\n", "^second is empty"),
        ("\ud800", "Bob", "^first is not valid Unicode"),
        ("project " * 61, "project", "^first together with second is too long: .* 65 tokens, the model at most 64"),
    ],
    ids=["a blank first text", "a blank second text", "a text that is not Unicode", "a pair longer than the model"],
)
def test_impossible_requests_are_refused(make_next_sentence: MakeTask, first: str, second: str, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        make_next_sentence().encode(NextSentenceRequest(first, second))


def test_a_pair_that_just_fits_is_taken(make_next_sentence: MakeTask) -> None:
    encoded = make_next_sentence().encode(NextSentenceRequest("project " * 60, "project"))
    assert len(encoded.windows[0].sequence) == 64


@pytest.mark.parametrize(
    "logits", [[np.zeros(3)], [np.array([np.inf, 0.0])], []], ids=["a logit too many", "infinity", "no window"]
)
def test_unusable_logits_fail_the_request(make_next_sentence: MakeTask, logits: list[Any]) -> None:
    task = make_next_sentence()
    with pytest.raises(InferenceFailed):
        task.decode(task.encode(NextSentenceRequest("Alice", "Bob")), logits_only(logits))
