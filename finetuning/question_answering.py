"""Learning to answer questions, from a file in SQuAD's format.

Every window of a context is a row. Its targets are the answer's first and last token where the whole answer lies in the
window, and [CLS], which stands for "no answer", where it does not.
"""

from collections.abc import Sequence
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F

from bigbird_inference.tasks.base import Task
from bigbird_inference.tasks.question_answering import DEFAULT_MAX_ANSWER_TOKENS, QuestionAnswer, QuestionRequest
from evaluation.data.squad import SquadExample, SquadFile
from evaluation.metrics.squad import exact_match, token_f1
from finetuning.batches import Batch, row_of
from finetuning.forward import model_outputs
from finetuning.objective import Batching, FileObjective, Measured, Targets
from finetuning.served_task import encode_all, encode_example
from finetuning.span_rows import QuestionEncoding, SpanRow, never_right, rows_to_learn
from model_export.config import BigBirdConfig
from model_export.nn.attention import masked_score
from model_export.nn.model import BigBird

QuestionTask = Task[QuestionRequest, QuestionAnswer]


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
        max_answer_tokens: int = DEFAULT_MAX_ANSWER_TOKENS,
    ) -> None:
        rows, lost = rows_to_learn(training, partial(_encode, task, training, window_stride))
        super().__init__(rows, config, batching)
        self._task = task
        self._evaluation = evaluation
        self._requests = encode_all(
            evaluation.path,
            evaluation.examples,
            partial(_encode, task, evaluation, window_stride, max_answer_tokens=max_answer_tokens),
        )
        self.notes = (*lost, *never_right(evaluation, self._requests, max_answer_tokens))

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

    def measure(self, model: BigBird, source: None) -> Measured:
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


def _encode(
    task: QuestionTask,
    file: SquadFile,
    stride: int | None,
    example: SquadExample,
    max_answer_tokens: int = DEFAULT_MAX_ANSWER_TOKENS,
) -> QuestionEncoding:
    """Encode a question of a file as it would be asked."""
    request = QuestionRequest(
        example.question,
        example.context,
        max_answer_tokens=max_answer_tokens,
        window_stride=stride,
        no_answer=file.version == "v2.0",
    )
    return encode_example(task, request, file.path, example.line)
