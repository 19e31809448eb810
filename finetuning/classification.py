"""Learning to classify texts and pairs of texts, or to give them a number.

Every window of a text is a row with the text's own target; what is measured is the answer that the windows give
together, as it would be served.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.classification import ClassificationAnswer, ClassificationRequest
from evaluation.data.labelled_texts import LabelledText
from evaluation.data.source_text import Mistakes
from evaluation.metrics.classification import (
    LabelCounts,
    accuracy,
    confusion_matrix,
    macro_f1,
    matthews,
    mean_absolute_error,
    micro_f1,
    pearson,
    spearman,
)
from finetuning.batches import Batch, Row, row_of
from finetuning.forward import model_outputs
from finetuning.objective import Batching, FileObjective, Measured, Targets
from finetuning.served_task import encode_all, encode_example
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

ClassificationTask = Task[ClassificationRequest, ClassificationAnswer]
FloatArray = npt.NDArray[np.float64]

_LIKELY = 0.5


@dataclass(frozen=True, slots=True)
class TargetRow(Row):
    """A window with its text's target: the label's number, 0 or 1 for each label, or the number to predict."""

    target: tuple[float, ...]


class ProblemType(Protocol):
    """What the logits stand for."""

    score_name: str

    def target(self, text: LabelledText, labels: Sequence[str]) -> tuple[float, ...]:
        """Return a text's target."""
        ...

    def summed_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        """Compute the summed loss of rows, each the mean over what it predicts.

        Args:
            logits: `[rows, labels]`.
            targets: float32 `[rows, 1 or labels]`.
        """
        ...

    def measure(self, scores: FloatArray, targets: FloatArray) -> Measured:
        """Compare what is served, `[texts, labels]`, with the targets, `[texts, 1 or labels]`."""
        ...


class OneLabel:
    """Every text has one label."""

    score_name = "accuracy"

    def target(self, text: LabelledText, labels: Sequence[str]) -> tuple[float, ...]:
        return (float(labels.index(text.label)),)

    def summed_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.cross_entropy(logits, targets[:, 0].long(), reduction="sum")

    def measure(self, scores: FloatArray, targets: FloatArray) -> Measured:
        confusion = confusion_matrix(targets[:, 0].astype(np.int64), scores.argmax(axis=1), scores.shape[1])
        figures = {
            "accuracy": accuracy(confusion),
            "macro f1": macro_f1(LabelCounts.of_confusion(confusion)),
            "matthews": matthews(confusion),
        }
        return Measured(figures["accuracy"], figures)


class AnyLabels:
    """Every text has any number of labels; those of a score of one half and more are predicted."""

    score_name = "micro f1"

    def target(self, text: LabelledText, labels: Sequence[str]) -> tuple[float, ...]:
        return tuple(float(label in text.labels) for label in labels)

    def summed_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.binary_cross_entropy_with_logits(logits, targets, reduction="sum") / logits.shape[1]

    def measure(self, scores: FloatArray, targets: FloatArray) -> Measured:
        counts = LabelCounts.of_sets(targets > 0, scores >= _LIKELY)
        figures = {"micro f1": _number_or_zero(micro_f1(counts)), "macro f1": _number_or_zero(macro_f1(counts))}
        return Measured(figures["micro f1"], figures)


class Regression:
    """Every text has a number."""

    score_name = "pearson"

    def target(self, text: LabelledText, labels: Sequence[str]) -> tuple[float, ...]:
        assert text.number is not None
        return (text.number,)

    def summed_loss(self, logits: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
        return F.mse_loss(logits, targets, reduction="sum")

    def measure(self, scores: FloatArray, targets: FloatArray) -> Measured:
        predicted, expected = scores[:, 0], targets[:, 0]
        figures = {
            "pearson": _number_or_zero(pearson(expected, predicted)),
            "spearman": _number_or_zero(spearman(expected, predicted)),
            "mean squared error": float(np.square(expected - predicted).mean()),
            "mean absolute error": mean_absolute_error(expected, predicted),
        }
        return Measured(figures["pearson"], figures)


PROBLEM_TYPES: dict[str, ProblemType] = {
    "single_label_classification": OneLabel(),
    "multi_label_classification": AnyLabels(),
    "regression": Regression(),
}


class Classification(FileObjective[TargetRow]):
    """Learns the targets of texts."""

    def __init__(
        self,
        task: ClassificationTask,
        training: tuple[Path, Sequence[LabelledText]],
        evaluation: tuple[Path, Sequence[LabelledText]],
        config: BigBirdConfig,
        batching: Batching,
        window_stride: int | None = None,
    ) -> None:
        assert config.problem_type is not None
        self._problem = PROBLEM_TYPES[config.problem_type]
        self.score_name = self._problem.score_name
        rows: list[TargetRow] = []
        with Mistakes(training[0]) as mistakes:
            for text in training[1]:
                with mistakes.collected():
                    windows = _encode(task, training[0], text, window_stride).windows
                    target = self._problem.target(text, config.labels)
                    rows += [TargetRow(row.ids, row.types, target) for row in (row_of(one.sequence) for one in windows)]
        super().__init__(rows, config, batching)
        self._task = task
        self._requests = encode_all(*evaluation, lambda text: _encode(task, evaluation[0], text, window_stride))
        self._expected = np.array([self._problem.target(text, config.labels) for text in evaluation[1]])

    def targets(self, rows: Sequence[TargetRow], length: int) -> Targets:
        """Return float32 `[rows, 1 or labels]`."""
        return (torch.tensor([row.target for row in rows]),)

    def summed_loss(self, model: BigBird, batch: Batch, targets: Targets) -> torch.Tensor:
        """Compute the loss that transformers computes for the problem type."""
        return self._problem.summed_loss(model(*batch.inputs).float(), targets[0])

    def measure(self, model: BigBird, source: None) -> Measured:
        """Classify every text of the evaluation file."""
        rows = [row_of(window.sequence) for request in self._requests for window in request.windows]
        outputs = iter(model_outputs(model, rows, self.batching.rows, self.batching.device))
        scores = []
        for request in self._requests:
            answer = self._task.decode(request, [next(outputs) for _ in request.windows])
            by_label = {entry.label: entry.score for entry in answer.labels}
            scores.append([by_label[label] for label in self.config.labels])
        return self._problem.measure(np.array(scores), self._expected)


def _encode(
    task: ClassificationTask, path: Path, text: LabelledText, stride: int | None
) -> EncodedRequest[ClassificationRequest]:
    return encode_example(task, ClassificationRequest(text.text, text.pair, window_stride=stride), path, text.line)


def _number_or_zero(figure: float) -> float:
    """Return 0 for what is not defined: no correlation, no label."""
    return 0.0 if np.isnan(figure) else figure
