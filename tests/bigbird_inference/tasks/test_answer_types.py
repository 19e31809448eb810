"""Which window speaks for a document, and what its category makes of an answer: by hand-made logits."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from bigbird_inference.errors import BundleError, InferenceFailed
from bigbird_inference.manifest import Manifest, Tensor
from bigbird_inference.runtime.session import Float32Array, Outputs
from bigbird_inference.tasks.answer_types import ANSWER_TYPES, choose_window
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.question_answering import QuestionAnswer, QuestionAnswering, QuestionRequest
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer

QUESTION = "Who leads the project?"
CONTEXT = "Alice Smith leads the project in Paris since March 2024, said Bob Jones."
LONG = " ".join([CONTEXT] * 4)
OUTPUTS = [
    Tensor("logits", "float32", ["batch", "length", 2]),
    Tensor("answer_type", "float32", ["batch", 5]),
]

NULL, SHORT, LONG_ANSWER, YES, NO = np.log(
    [
        [0.6, 0.1, 0.1, 0.1, 0.1],
        [0.1, 0.6, 0.1, 0.1, 0.1],
        [0.2, 0.1, 0.5, 0.1, 0.1],
        [0.2, 0.1, 0.1, 0.5, 0.1],
        [0.4, 0.05, 0.05, 0.05, 0.45],
    ]
).astype(np.float32)


@pytest.fixture(scope="module")
def natural_questions(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> QuestionAnswering:
    """A model of 64 tokens that tells the kind of answer."""
    return QuestionAnswering(make_manifest(task="qa", outputs=OUTPUTS), tokenizer)


def outputs_of(
    encoded: EncodedRequest[QuestionRequest], types: Sequence[Float32Array], spans: dict[int, tuple[str, float]]
) -> list[Outputs]:
    """Logits of 0 but for one span in some of the windows, and each window's categories."""
    outputs: list[Outputs] = []
    for number, (window, own) in enumerate(zip(encoded.windows, types, strict=True)):
        logits = np.zeros((len(window.sequence), 2), dtype=np.float32)
        if number in spans:
            text, value = spans[number]
            tokens = encoded.tokens
            shift = window.text_offset - window.first_token
            inside = range(window.first_token, window.first_token + window.token_count)
            begin = encoded.request.context.index(text, int(tokens.starts[inside[0]]))
            first = next(i for i in inside if tokens.starts[i] <= begin < tokens.ends[i])
            last = max(i for i in inside if tokens.starts[i] < begin + len(text))
            logits[first + shift, 0] = logits[last + shift, 1] = value
        outputs.append({"logits": logits, "answer_type": own})
    return outputs


def answer_to(
    task: QuestionAnswering,
    types: Sequence[Float32Array],
    spans: dict[int, tuple[str, float]],
    context: str = CONTEXT,
    top_k: int = 1,
    no_answer: bool = False,
    min_score: float = 0.0,
) -> QuestionAnswer:
    request = QuestionRequest(QUESTION, context, top_k=top_k, no_answer=no_answer, min_score=min_score)
    encoded = task.encode(request)
    return task.decode(encoded, outputs_of(encoded, types, spans))


def test_the_categories_are_in_the_order_of_the_training_data() -> None:
    assert ANSWER_TYPES == ("null", "short", "long", "yes", "no")


@pytest.mark.parametrize(
    ("windows", "expected"),
    [
        pytest.param([SHORT], (0, "short", 0.6, 0.1), id="one window"),
        pytest.param([NULL, YES, NULL], (1, "yes", 0.5, 0.2), id="the only one with an answer"),
        pytest.param([NO, NULL, LONG_ANSWER, SHORT], (3, "short", 0.6, 0.1), id="the one surest of an answer"),
        pytest.param([YES, YES], (0, "yes", 0.5, 0.2), id="of two as sure, the first"),
        pytest.param([NULL, NULL], (0, "null", 0.6, 0.6), id="nowhere an answer"),
    ],
)
def test_the_window_least_likely_to_be_null_speaks(
    windows: list[Float32Array], expected: tuple[int, str, float, float]
) -> None:
    chosen = choose_window(windows)
    assert (chosen.window, chosen.answer_type) == expected[:2]
    assert (chosen.score, chosen.null_score) == pytest.approx(expected[2:])


@pytest.mark.parametrize(
    ("logits", "name"), [(SHORT, "short"), (LONG_ANSWER, "long"), (YES, "yes"), (NO, "no"), (NULL, "null")]
)
@pytest.mark.parametrize("no_answer", [False, True])
def test_the_answer_tells_its_type_and_the_span_stays(
    natural_questions: QuestionAnswering, logits: Float32Array, name: str, no_answer: bool
) -> None:
    answer = answer_to(natural_questions, [logits], {0: ("Alice Smith", 9.0)}, no_answer=no_answer)
    probabilities = np.exp(logits) / np.exp(logits).sum()
    assert answer.answer_type == name
    assert answer.answer_type_score == pytest.approx(probabilities.max())
    assert answer.answer == ("" if no_answer and name == "null" else "Alice Smith")


def test_null_is_the_answer_however_sure_the_span_is(natural_questions: QuestionAnswering) -> None:
    answer = answer_to(natural_questions, [NULL], {0: ("Alice Smith", 30.0)}, top_k=2, no_answer=True)
    assert [span.answer for span in answer.alternatives] == ["", "Alice Smith"]
    assert (answer.score, answer.start, answer.end) == (pytest.approx(0.6), 0, 0)
    assert answer.alternatives[1].score > 0.99


def test_null_is_not_the_answer_however_unsure_the_span_is(natural_questions: QuestionAnswering) -> None:
    answer = answer_to(natural_questions, [NO], {0: ("Alice Smith", 0.5)}, top_k=3, no_answer=True)
    first, second, third = answer.alternatives
    assert (first.answer, second.answer, second.score) == ("Alice Smith", "", pytest.approx(0.4))
    assert (answer.answer, answer.answer_type) == ("Alice Smith", "no")
    assert third.score <= first.score < second.score


def test_cls_has_no_say_in_whether_there_is_an_answer(natural_questions: QuestionAnswering) -> None:
    encoded = natural_questions.encode(QuestionRequest(QUESTION, CONTEXT, no_answer=True))
    outputs = outputs_of(encoded, [SHORT], {0: ("Paris", 5.0)})
    outputs[0]["logits"][0] = 20.0
    assert natural_questions.decode(encoded, outputs).answer == "Paris"


def test_an_answer_below_min_score_is_the_empty_one_and_keeps_its_type(natural_questions: QuestionAnswering) -> None:
    answer = answer_to(natural_questions, [YES], {0: ("Paris", 4.0)}, min_score=0.99)
    assert (answer.answer, answer.score, answer.answer_type) == ("", pytest.approx(0.2), "yes")
    assert len(answer.alternatives) == 1


@pytest.mark.parametrize("no_answer", [False, True])
def test_only_the_window_that_speaks_is_searched(natural_questions: QuestionAnswering, no_answer: bool) -> None:
    windows = len(natural_questions.encode(QuestionRequest(QUESTION, LONG)).windows)
    assert windows > 2
    types = [NULL] * windows
    types[1] = SHORT
    spans = {number: ("Bob Jones", 30.0) for number in range(windows)}
    spans[1] = ("Paris", 5.0)
    answer = answer_to(natural_questions, types, spans, LONG, no_answer=no_answer)
    assert (answer.answer, answer.answer_type) == ("Paris", "short")
    count = natural_questions.encode(QuestionRequest(QUESTION, LONG)).windows[1].token_count  # and [CLS]
    assert answer.score == pytest.approx((np.exp(5.0) / (np.exp(5.0) + count)) ** 2)


def test_a_document_is_null_if_all_its_windows_are(natural_questions: QuestionAnswering) -> None:
    windows = len(natural_questions.encode(QuestionRequest(QUESTION, LONG)).windows)
    answer = answer_to(natural_questions, [NULL] * windows, {0: ("Paris", 9.0)}, LONG, no_answer=True)
    assert (answer.answer, answer.answer_type, answer.score) == ("", "null", pytest.approx(0.6))


def test_a_model_without_the_categories_tells_none(question_answering: QuestionAnswering) -> None:
    answer = answer_to(question_answering, [NULL], {0: ("Paris", 9.0)})
    assert (answer.answer, answer.answer_type, answer.answer_type_score) == ("Paris", None, None)


def test_outputs_without_categories_are_refused(natural_questions: QuestionAnswering) -> None:
    encoded = natural_questions.encode(QuestionRequest(QUESTION, CONTEXT))
    (good,) = outputs_of(encoded, [SHORT], {})
    for broken in (
        {"logits": good["logits"]},
        {**good, "answer_type": SHORT[:4]},
        {**good, "answer_type": SHORT + np.inf},
    ):
        with pytest.raises(InferenceFailed):
            natural_questions.decode(encoded, [broken])


def test_a_bundle_with_other_categories_is_refused(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer
) -> None:
    four = [OUTPUTS[0], Tensor("answer_type", "float32", ["batch", 4])]
    with pytest.raises(BundleError, match=r"answer_type is \['batch', 4\], .* needs \['batch', 5\]"):
        create_task(make_manifest(task="qa", outputs=four), tokenizer)
