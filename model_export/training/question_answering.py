"""Learning to answer questions, from a file in SQuAD's format.

Every window of a context is a row. Its targets are the answer's first and last token where the whole answer lies in the
window, and [CLS], which stands for "no answer", where it does not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F

from evaluation.data.errors import DataError
from evaluation.data.squad import SquadExample, SquadFile
from evaluation.metrics.squad import exact_match, token_f1
from model_export.config import BigBirdConfig
from model_export.nn.masking import masked_score
from model_export.nn.model import BigBird
from model_export.training.batch import Batch
from model_export.training.file_objective import Batching, FileObjective, Targets
from model_export.training.model_outputs import model_outputs
from model_export.training.objective import Measured
from model_export.training.rows import Row, row_of
from service.errors import InvalidInput
from service.tasks.base import EncodedRequest, Task
from service.tasks.question_answering import QuestionAnswer, QuestionRequest
from service.tokenization.encoded import TokenizedText, Window

QuestionTask = Task[QuestionRequest, QuestionAnswer]


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


class QuestionAnswering(FileObjective[SpanRow]):
    """Learns answers' edges; measures exact match and F1 of the answers that would be served."""

    score_name = "f1"

    def __init__(
        self,
        task: QuestionTask,
        training: SquadFile,
        evaluation: SquadFile,
        config: BigBirdConfig,
        batching: Batching,
        window_stride: int | None = None,
    ) -> None:
        rows = [
            span_row(window, span)
            for example in training.examples
            for encoded, span in [_with_span(task, training, example, window_stride)]
            for window in encoded.windows
        ]
        super().__init__(rows, config, batching)
        self._task = task
        self._evaluation = evaluation
        self._requests = [
            _encode(task, evaluation, example, window_stride, no_answer=evaluation.version == "v2.0")
            for example in evaluation.examples
        ]

    def targets(self, rows: Sequence[SpanRow], length: int) -> Targets:
        """Return the answers' edges, int64 `[rows, 2]`, and which positions compete for them, bool `[rows, length]`."""
        competing = np.zeros((len(rows), length), dtype=np.bool_)
        for index, row in enumerate(rows):
            competing[index, row.text_offset : len(row)] = True
        competing[:, 0] = True
        edges = torch.tensor([[row.first, row.last] for row in rows])
        return edges, torch.from_numpy(competing)

    def summed_loss(self, model: BigBird, batch: Batch, targets: Targets) -> torch.Tensor:
        """Compute the mean of both edges' cross-entropies, summed over the rows.

        [CLS], the context and the [SEP] after it compete, as in transformers; serving leaves that [SEP] out.
        """
        edges, competing = targets
        logits = model(*batch.inputs).float().masked_fill(~competing[..., None], masked_score(torch.float32))
        return F.cross_entropy(logits, edges, reduction="sum") / 2

    def measure(self, model: BigBird, shown: None) -> Measured:
        """Ask every question of the evaluation file."""
        rows = [row_of(window.sequence) for request in self._requests for window in request.windows]
        outputs = iter(model_outputs(model, rows, self.batching.rows, self.batching.device))
        exact, f1 = [], []
        for example, request in zip(self._evaluation.examples, self._requests, strict=True):
            answer = self._task.decode(request, [next(outputs) for _ in request.windows]).answer
            right = [given.text for given in example.answers]
            exact.append(exact_match(answer, right, self._evaluation.version))
            f1.append(token_f1(answer, right, self._evaluation.version))
        figures = {"exact match": float(np.mean(exact)), "f1": float(np.mean(f1))}
        return Measured(figures["f1"], figures)


def tokens_of_span(tokens: TokenizedText, start: int, end: int) -> tuple[int, int] | None:
    """Find the first and the last token that hold code points of `[start, end)`, None if none does."""
    first = int(np.searchsorted(tokens.ends, start, side="right"))
    last = int(np.searchsorted(tokens.starts, end, side="left")) - 1
    return (first, last) if first <= last else None


def span_row(window: Window, span: tuple[int, int] | None) -> SpanRow:
    """Return a window's row.

    Args:
        window: Of the context.
        span: First and last token of the answer in the whole context; None if there is no answer.
    """
    row = row_of(window.sequence)
    if span is not None:
        first, last = (token - window.first_token + window.text_offset for token in span)
        if window.text_offset <= first and last < window.text_offset + window.token_count:
            return SpanRow(row.ids, row.second, window.text_offset, first, last)
    return SpanRow(row.ids, row.second, window.text_offset, 0, 0)


def _with_span(
    task: QuestionTask, file: SquadFile, example: SquadExample, stride: int | None
) -> tuple[EncodedRequest[QuestionRequest], tuple[int, int] | None]:
    encoded = _encode(task, file, example, stride, no_answer=False)
    if example.impossible:
        return encoded, None
    answer = example.answers[0]
    span = tokens_of_span(encoded.tokens, answer.start, answer.start + len(answer.text))
    if span is None:
        raise DataError(file.path, example.line, f"the answer {answer.text!r} has no visible characters")
    return encoded, span


def _encode(
    task: QuestionTask, file: SquadFile, example: SquadExample, stride: int | None, *, no_answer: bool
) -> EncodedRequest[QuestionRequest]:
    request = QuestionRequest(example.question, example.context, window_stride=stride, no_answer=no_answer)
    try:
        return task.encode(request)
    except InvalidInput as error:
        raise DataError(file.path, example.line, str(error)) from error
