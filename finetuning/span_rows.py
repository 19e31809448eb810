"""Where answers lie in the windows of their contexts: what is learned from, and what no service could find."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from bigbird_inference.tokenization.encoded import TokenizedText, Window
from evaluation.data.source_text import DataError, Mistakes
from evaluation.data.squad import SquadAnswer, SquadExample, SquadFile
from finetuning.batches import Row, row_of
from finetuning.objective import Note

QuestionEncoding = EncodedRequest[QuestionRequest]
Span = tuple[int, int]


@dataclass(frozen=True, slots=True)
class SpanRow(Row):
    """A window with its answer.

    Attributes:
        text_offset: Position of the context's first token.
        first: Position of the answer's first token, 0 ([CLS]) where there is none.
        last: Of its last token.
    """

    text_offset: int
    first: int
    last: int


def rows_to_learn(
    file: SquadFile, encode: Callable[[SquadExample], QuestionEncoding]
) -> tuple[list[SpanRow], list[Note]]:
    """Return the windows of all questions, without those of answers that lie whole in none of them.

    Such a question has an answer, so its windows must not teach that there is none.

    Args:
        file: Whose first answers are learned.
        encode: Encodes a question as it would be asked.

    Raises:
        DataError: A question cannot be asked, an answer is invisible, or none lies whole in a window.
    """
    rows, lost = [], []
    with Mistakes(file.path) as mistakes:
        for example in file.examples:
            with mistakes.collected():
                encoded = encode(example)
                span = None if example.impossible else _visible_span(file, example, encoded.tokens)
                if span is None or _lies_in_a_window(span, encoded.windows):
                    rows += [_span_row(window, span) for window in encoded.windows]
                else:
                    lost.append(f"{file.path}:{example.line}: the answer {_shortened(example)} lies whole in no window")
        if not rows and not mistakes.found:
            mistakes.add(None, f"no answer lies whole in a window: {_REMEDY}")
    summary = f"{len(lost)} of {len(file.examples)} questions of {file.path.name} are left out: {_REASON}; {_REMEDY}"
    return rows, [Note(summary, tuple(lost))] if lost else []


def never_right(file: SquadFile, encodings: Sequence[QuestionEncoding], max_answer_tokens: int) -> list[Note]:
    """Tell which questions a service cannot answer rightly, whatever it has learned.

    Args:
        file: Any of whose answers is right.
        encodings: Of its questions, in their order.
        max_answer_tokens: The longest answer that is given.
    """
    places = [
        f"{file.path}:{example.line}: the answer {_shortened(example)} is never given"
        for example, encoded in zip(file.examples, encodings, strict=True)
        if not example.impossible
        and not any(_can_be_given(answer, encoded, max_answer_tokens) for answer in example.answers)
    ]
    summary = (
        f"{len(places)} of {len(file.examples)} questions of {file.path.name} cannot be answered rightly: "
        f"their answers are longer than {max_answer_tokens} tokens (--max-answer-tokens), or lie whole in no window"
    )
    return [Note(summary, tuple(places))] if places else []


def tokens_of_span(tokens: TokenizedText, start: int, end: int) -> Span | None:
    """Find the first and the last token that hold code points of `[start, end)`, None if none does."""
    first = int(tokens.ends.searchsorted(start, side="right"))
    last = int(tokens.starts.searchsorted(end, side="left")) - 1
    return (first, last) if first <= last else None


_REASON = "their answers lie whole in no window"
_REMEDY = "a longer --max-length or a larger --window-stride helps"


def _can_be_given(answer: SquadAnswer, encoded: QuestionEncoding, max_answer_tokens: int) -> bool:
    span = tokens_of_span(encoded.tokens, answer.start, answer.start + len(answer.text))
    return span is not None and span[1] - span[0] < max_answer_tokens and _lies_in_a_window(span, encoded.windows)


def _visible_span(file: SquadFile, example: SquadExample, tokens: TokenizedText) -> Span:
    answer = example.answers[0]
    span = tokens_of_span(tokens, answer.start, answer.start + len(answer.text))
    if span is None:
        raise DataError(file.path, example.line, f"the answer {answer.text!r} has no visible characters")
    return span


def _lies_in_a_window(span: Span, windows: Sequence[Window]) -> bool:
    return any(_lies_in(span, window) for window in windows)


def _lies_in(span: Span, window: Window) -> bool:
    return window.first_token <= span[0] and span[1] < window.first_token + window.token_count


def _span_row(window: Window, span: Span | None) -> SpanRow:
    """Return a window's row; the span counts tokens of the whole context."""
    row = row_of(window.sequence)
    if span is None or not _lies_in(span, window):
        return SpanRow(row.ids, row.types, window.text_offset, 0, 0)
    first, last = (token - window.first_token + window.text_offset for token in span)
    return SpanRow(row.ids, row.types, window.text_offset, first, last)


def _shortened(example: SquadExample) -> str:
    return ascii(example.answers[0].text[:60])
