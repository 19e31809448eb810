"""The answers that follow from given logits, by hand and against all pairs of tokens."""

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.question_answering import AnswerSpan, QuestionAnswering, QuestionRequest
from bigbird_inference.tokenization.encoded import TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.fake_model import MODEL_CONFIG, logits_only

QUESTION = "Who leads the project?"
CONTEXT = "Alice Smith leads the project in Paris since March 2024, said Bob Jones."


def zeros(encoded: EncodedRequest[QuestionRequest]) -> list[Float32Array]:
    return [np.zeros((len(window.sequence), 2), dtype=np.float32) for window in encoded.windows]


def random_logits(encoded: EncodedRequest[QuestionRequest], seed: int) -> list[Float32Array]:
    generator = np.random.default_rng(seed)
    return [generator.normal(0, 3, array.shape).astype(np.float32) for array in zeros(encoded)]


def mark(
    encoded: EncodedRequest[QuestionRequest], logits: list[Float32Array], answer: str, value: float, window: int = 0
) -> None:
    """Raise the start and end logits of an answer's tokens in one window."""
    begin = encoded.request.context.index(answer)
    end = begin + len(answer)
    tokens, part = encoded.tokens, encoded.windows[window]
    first = next(i for i in range(len(tokens)) if tokens.starts[i] <= begin < tokens.ends[i])
    last = max(i for i in range(len(tokens)) if tokens.starts[i] < end <= tokens.ends[i])
    logits[window][part.text_offset + first - part.first_token, 0] = value
    logits[window][part.text_offset + last - part.first_token, 1] = value


def all_pairs(encoded: EncodedRequest[QuestionRequest], logits: list[Float32Array]) -> tuple[list[AnswerSpan], float]:
    """The definition, written out: every pair of tokens of every window, and the null score."""
    request, tokens = encoded.request, encoded.tokens
    positions = [
        (number, position)
        for number, window in enumerate(encoded.windows)
        for position in [0, *range(window.text_offset, window.text_offset + window.token_count)]
    ]
    values = np.array([logits[number][position] for number, position in positions], dtype=np.float64)
    exponentials = np.exp(values - values.max(axis=0))
    probabilities = dict(zip(positions, exponentials / exponentials.sum(axis=0), strict=True))
    best: dict[tuple[int, int], float] = {}
    for number, window in enumerate(encoded.windows):
        indices = range(window.first_token, window.first_token + window.token_count)
        for i, j in itertools.combinations_with_replacement(indices, 2):
            inside = [t for t in range(i, j + 1) if tokens.starts[t] < tokens.ends[t]]
            if j - i + 1 > request.max_answer_tokens or not inside:
                continue
            span = int(tokens.starts[inside[0]]), int(tokens.ends[inside[-1]])
            offset = window.text_offset - window.first_token
            score = float(probabilities[number, i + offset][0] * probabilities[number, j + offset][1])
            best[span] = max(score, best.get(span, -1.0))
    ranking = sorted((-score, start, end) for (start, end), score in best.items())
    answers = [AnswerSpan(request.context[start:end], -score, start, end) for score, start, end in ranking]
    null = min(float(probabilities[number, 0].prod()) for number in range(len(encoded.windows)))
    return answers, null


def test_the_question_stands_before_the_context(question_answering: QuestionAnswering, tokenizer: Tokenizer) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    question, context = tokenizer.tokenize(QUESTION).ids.tolist(), tokenizer.tokenize(CONTEXT).ids.tolist()
    (window,) = encoded.windows
    assert window.sequence.input_ids.tolist() == [1, *question, 2, *context, 2]
    assert window.sequence.token_type_ids.tolist() == [0] * (len(question) + 2) + [1] * (len(context) + 1)
    assert (window.text_offset, window.first_token, window.token_count) == (len(question) + 2, 0, len(context))


def test_token_types_of_questions_do_not_follow_the_pair_option(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer
) -> None:
    request = QuestionRequest("Who?", "Alice")
    zero_pairs = QuestionAnswering(make_manifest(pair_types="zeros"), tokenizer).encode(request)
    assert zero_pairs.windows[0].sequence.token_type_ids.max() == 1
    one_type = QuestionAnswering(make_manifest(model={**MODEL_CONFIG, "type_vocab_size": 1}), tokenizer).encode(request)
    assert one_type.windows[0].sequence.token_type_ids.max() == 0


def test_the_marked_span_is_the_answer(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    logits = zeros(encoded)
    mark(encoded, logits, "Alice Smith", 9.0)
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start, answer.end) == ("Alice Smith", 0, 11)
    others = encoded.windows[0].token_count  # [CLS] and all context tokens but one
    expected = (np.exp(9.0) / (np.exp(9.0) + others)) ** 2
    assert answer.score == pytest.approx(expected)
    assert answer.alternatives == [AnswerSpan("Alice Smith", answer.score, 0, 11)]


def test_neither_question_nor_separators_compete(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    logits = zeros(encoded)
    mark(encoded, logits, "Bob Jones", 5.0)
    expected = question_answering.decode(encoded, logits_only(logits))
    logits[0][1 : encoded.windows[0].text_offset] = 50.0
    logits[0][-1] = 50.0
    assert question_answering.decode(encoded, logits_only(logits)) == expected
    assert expected.answer == "Bob Jones"


def test_cls_takes_probability_but_never_answers_unasked(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 5.0)
    alone = question_answering.decode(encoded, logits_only(logits))
    logits[0][0] = 20.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert answer.answer == alone.answer == "Paris"
    assert answer.score < 1e-10 < alone.score


def test_the_null_answer_wins_when_allowed_and_likelier(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, top_k=2, no_answer=True))
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 5.0)
    logits[0][0] = 6.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start, answer.end) == ("", 0, 0)
    assert [span.answer for span in answer.alternatives] == ["", "Paris"]
    assert answer.score == answer.alternatives[0].score > answer.alternatives[1].score


def test_a_less_likely_null_answer_is_an_alternative(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, top_k=2, no_answer=True))
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 5.0)
    logits[0][0] = 4.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start) == ("Paris", CONTEXT.index("Paris"))
    assert [span.answer for span in answer.alternatives] == ["Paris", ""]


def test_a_span_as_likely_as_the_null_answer_is_preferred(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, no_answer=True))
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 5.0)
    logits[0][0] = 5.0
    assert question_answering.decode(encoded, logits_only(logits)).answer == "Paris"


def test_the_null_score_is_the_smallest_of_all_windows(question_answering: QuestionAnswering) -> None:
    context = " ".join([CONTEXT] * 4)
    encoded = question_answering.encode(QuestionRequest(QUESTION, context, no_answer=True))
    assert len(encoded.windows) > 2
    logits = zeros(encoded)
    for number, array in enumerate(logits):
        array[0] = 8.0 if number != 1 else 1.0
    mark(encoded, logits, "Alice", 4.0)
    answer = question_answering.decode(encoded, logits_only(logits))
    assert answer.answer == "Alice"
    _, null = all_pairs(encoded, logits)
    assert answer.score > null


def null_of(encoded: EncodedRequest[QuestionRequest], cls: float, start_and_end: float) -> float:
    """The empty answer's score where [CLS] and one token stand out, and all others have logits of 0."""
    others = encoded.windows[0].token_count - 1
    return float((np.exp(cls) / (np.exp(cls) + np.exp(start_and_end) + others)) ** 2)


@pytest.mark.parametrize("top_k", [1, 3])
def test_an_answer_below_min_score_is_the_empty_one(question_answering: QuestionAnswering, top_k: int) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, top_k=top_k, min_score=0.6))
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 4.0)
    logits[0][0] = 1.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start, answer.end) == ("", 0, 0)
    assert answer.score == pytest.approx(null_of(encoded, 1.0, 4.0))
    assert answer.alternatives == [AnswerSpan("", answer.score, 0, 0)]


def test_min_score_leaves_out_alternatives_and_keeps_what_reaches_it(question_answering: QuestionAnswering) -> None:
    plain = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, top_k=9))
    logits = random_logits(plain, 7)
    all_of_them = question_answering.decode(plain, logits_only(logits)).alternatives
    least = all_of_them[3].score
    assert all_of_them[4].score < least
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, top_k=9, min_score=least))
    answer = question_answering.decode(encoded, logits_only(logits))
    assert answer.alternatives == all_of_them[:4]
    assert answer.answer == all_of_them[0].answer


def test_min_score_is_not_for_the_empty_answer(question_answering: QuestionAnswering) -> None:
    request = QuestionRequest(QUESTION, CONTEXT, top_k=9, no_answer=True, min_score=0.5)
    encoded = question_answering.encode(request)
    logits = zeros(encoded)
    mark(encoded, logits, "Paris", 9.0)
    logits[0][0] = 7.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert [span.answer for span in answer.alternatives] == ["Paris", ""]
    assert answer.alternatives[1].score == pytest.approx(null_of(encoded, 7.0, 9.0))
    assert answer.alternatives[1].score < request.min_score <= answer.score


def test_windows_compete_on_equal_terms(question_answering: QuestionAnswering) -> None:
    context = "Carol Stone works in Paris. " + "The office is open. " * 20 + "Bob Jones leads it."
    encoded = question_answering.encode(QuestionRequest(QUESTION, context))
    assert len(encoded.windows) > 2
    logits = zeros(encoded)
    mark(encoded, logits, "Carol Stone", 5.0)
    mark(encoded, logits, "Bob Jones", 6.0, window=len(logits) - 1)
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start) == ("Bob Jones", context.index("Bob Jones"))
    total = sum(window.token_count + 1 for window in encoded.windows)
    expected = (np.exp(6.0) / (np.exp(6.0) + np.exp(5.0) + total - 2)) ** 2
    assert answer.score == pytest.approx(expected)


def test_equal_scores_are_ordered_by_place_in_the_text(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, "Alice Smith", top_k=50, max_answer_tokens=10))
    answer = question_answering.decode(encoded, logits_only(zeros(encoded)))
    places = [(span.start, span.end) for span in answer.alternatives]
    assert places == sorted(set(places))
    assert places[0] == (0, int(encoded.tokens.ends[encoded.tokens.ends > 0][0]))


def test_answers_are_at_most_as_long_as_asked(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT, max_answer_tokens=1))
    logits = zeros(encoded)
    mark(encoded, logits, CONTEXT, 9.0)
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.start, answer.end) in zip(encoded.tokens.starts.tolist(), encoded.tokens.ends.tolist(), strict=True)


def test_spaces_at_an_answers_edges_are_not_part_of_it(question_answering: QuestionAnswering) -> None:
    context = "a   😀   b"
    encoded = question_answering.encode(QuestionRequest(QUESTION, context))
    tokens, window = encoded.tokens, encoded.windows[0]
    blanks = [i for i in range(1, len(tokens)) if tokens.starts[i] == tokens.ends[i]]
    assert len(blanks) == 2
    logits = zeros(encoded)
    logits[0][window.text_offset + blanks[0], 0] = 9.0
    logits[0][window.text_offset + blanks[1], 1] = 9.0
    answer = question_answering.decode(encoded, logits_only(logits))
    assert (answer.answer, answer.start, answer.end) == ("😀", 4, 5)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    context=documents,
    seed=st.integers(0, 2**32 - 1),
    top_k=st.integers(1, 12),
    max_answer_tokens=st.integers(1, 70),
    stride=st.one_of(st.none(), st.integers(0, 30)),
    no_answer=st.booleans(),
    min_score=st.sampled_from([0.0, 0.001, 0.1]),
)
def test_decoding_equals_trying_all_pairs(
    question_answering: QuestionAnswering,
    context: str,
    seed: int,
    top_k: int,
    max_answer_tokens: int,
    stride: int | None,
    no_answer: bool,
    min_score: float,
) -> None:
    request = QuestionRequest("Who?", context, top_k, max_answer_tokens, stride, no_answer, min_score)
    try:
        encoded = question_answering.encode(request)
    except InvalidInput as error:
        assert error.detail in ("context is empty or only whitespace", "context has no visible characters")
        return
    logits = random_logits(encoded, seed)
    answer = question_answering.decode(encoded, logits_only(logits))
    expected, null = all_pairs(encoded, logits)
    expected = [span for span in expected if span.score >= min_score]
    if no_answer or not expected:
        expected = sorted([*expected, AnswerSpan("", null, 0, 0)], key=lambda span: -span.score)
    expected = expected[:top_k]
    assert [(span.answer, span.start, span.end) for span in answer.alternatives] == [
        (span.answer, span.start, span.end) for span in expected
    ]
    assert [span.score for span in answer.alternatives] == pytest.approx([span.score for span in expected])
    assert (answer.answer, answer.score, answer.start, answer.end) == (
        answer.alternatives[0].answer,
        answer.alternatives[0].score,
        answer.alternatives[0].start,
        answer.alternatives[0].end,
    )
    for span in answer.alternatives:
        assert context[span.start : span.end] == span.answer
        assert span.answer == span.answer.strip()
        assert span.answer or ((no_answer or min_score > 0) and (span.start, span.end) == (0, 0))


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(context=documents, top_k=st.integers(1, 6), data=st.data())
def test_ties_are_decided_as_among_all_pairs(
    question_answering: QuestionAnswering, context: str, top_k: int, data: st.DataObject
) -> None:
    try:
        encoded = question_answering.encode(QuestionRequest("Who?", context, top_k, max_answer_tokens=8))
    except InvalidInput:
        return
    logits = zeros(encoded)
    for array in logits:  # start logits only, so that equal products are equal to the last bit
        values = data.draw(st.lists(st.sampled_from([0.0, 1.0]), min_size=len(array), max_size=len(array)))
        array[:, 0] = values
    found = question_answering.decode(encoded, logits_only(logits)).alternatives
    expected, _ = all_pairs(encoded, logits)
    assert [(span.start, span.end) for span in found] == [(span.start, span.end) for span in expected[:top_k]]


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf], ids=["not a number", "infinity", "minus infinity"])
def test_unusable_logits_fail_the_request(question_answering: QuestionAnswering, value: float) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    logits = zeros(encoded)
    logits[0][-2, 1] = value
    with pytest.raises(InferenceFailed):
        question_answering.decode(encoded, logits_only(logits))


def test_logits_of_a_wrong_shape_fail_the_request(question_answering: QuestionAnswering) -> None:
    encoded = question_answering.encode(QuestionRequest(QUESTION, CONTEXT))
    with pytest.raises(InferenceFailed):
        question_answering.decode(encoded, [])
    with pytest.raises(InferenceFailed):
        question_answering.decode(encoded, logits_only([zeros(encoded)[0][:-1]]))


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (QuestionRequest("", CONTEXT), "^question is empty"),
        (QuestionRequest(" \n\t", CONTEXT), "^question is empty"),
        (QuestionRequest(QUESTION, ""), "^context is empty"),
        (QuestionRequest(QUESTION, "\u3000\u00a0 "), "^context is empty"),
        (QuestionRequest(QUESTION, "\u200b\ufeff"), "^context has no visible characters"),
        (QuestionRequest("\ud800", CONTEXT), "^question is not valid Unicode"),
        (QuestionRequest(QUESTION, "abc \udfff"), "^context is not valid Unicode.* position 4"),
        (QuestionRequest("project " * 100, CONTEXT), "^question is too long"),
        (QuestionRequest(QUESTION, CONTEXT, window_stride=64), "^window_stride is 64"),
        (QuestionRequest(QUESTION, CONTEXT, window_stride=-1), "^window_stride is -1"),
    ],
    ids=[
        "an empty question",
        "a blank question",
        "an empty context",
        "a context of wide spaces",
        "a context of invisible characters",
        "a question that is not Unicode",
        "a context that is not Unicode",
        "a question longer than the model",
        "a stride longer than a window",
        "a negative stride",
    ],
)
def test_impossible_requests_are_refused(
    question_answering: QuestionAnswering, request_: QuestionRequest, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        question_answering.encode(request_)


def test_a_document_of_special_pieces_is_a_normal_document(question_answering: QuestionAnswering) -> None:
    context = "[SEP][CLS]" * 3 + " Alice"
    encoded = question_answering.encode(QuestionRequest("[SEP] Who?", context))
    for window in encoded.windows:
        ids = window.sequence.input_ids
        assert (ids[0], int((ids == 1).sum()), int((ids == 2).sum())) == (1, 1, 2)
    logits = zeros(encoded)
    mark(encoded, logits, "Alice", 9.0, window=len(logits) - 1)
    assert question_answering.decode(encoded, logits_only(logits)).answer == "Alice"


def test_a_context_of_many_questions_is_tokenised_once(
    question_answering: QuestionAnswering, monkeypatch: pytest.MonkeyPatch
) -> None:
    requests = [QuestionRequest(question, CONTEXT) for question in (QUESTION, "Where is it?", "Since when?")]
    alone = [question_answering.encode(request) for request in requests]
    tokenized: list[str] = []
    tokenize_field = question_answering.tokenize_field

    def counted(name: str, text: str, *, positions: bool = True) -> TokenizedText:
        tokenized.append(name)
        return tokenize_field(name, text, positions=positions)

    monkeypatch.setattr(question_answering, "tokenize_field", counted)
    encode = question_answering.encoder()
    together = [encode(request) for request in requests]
    assert sorted(tokenized) == ["context", "question", "question", "question"]
    for one, other in zip(alone, together, strict=True):
        assert (one.request, one.tokens.ids.tolist()) == (other.request, other.tokens.ids.tolist())
        assert [window.sequence.input_ids.tolist() for window in one.windows] == [
            window.sequence.input_ids.tolist() for window in other.windows
        ]
