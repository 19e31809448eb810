"""Learning to find entities, from a file in CoNLL's format.

Every visible token gets a label of the BIO scheme, also the later tokens of a word: serving labels tokens, and joins
those of one entity.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.entity_recognition import EntityAnswer, EntityRequest
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from evaluation.data.conll import ConllFile, TaggedText
from evaluation.data.source_text import DataError
from evaluation.metrics.entities import add_up, count_entities, micro
from finetuning.batches import Batch, Row, row_of
from finetuning.forward import model_outputs
from finetuning.objective import Batching, FileObjective, Measured, Targets
from finetuning.served_task import encode_example
from finetuning.span_rows import tokens_of_span
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

EntityTask = Task[EntityRequest, EntityAnswer]

OUTSIDE = "O"
NO_TARGET = -100


def bio_labels(entity_types: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a model that finds entities of these types."""
    return (OUTSIDE, *(f"{prefix}-{label}" for label in entity_types for prefix in "BI"))


@dataclass(frozen=True, slots=True)
class TokenRow(Row):
    """A window with the label number of every position, `NO_TARGET` where there is none; int16 `[length]`."""

    token_targets: npt.NDArray[np.int16]


class EntityRecognition(FileObjective[TokenRow]):
    """Learns the labels of tokens; measures the entities that would be served."""

    score_name = "entity f1"

    def __init__(
        self,
        task: EntityTask,
        training: ConllFile,
        evaluation: ConllFile,
        config: BigBirdConfig,
        batching: Batching,
        window_stride: int | None = None,
    ) -> None:
        super().__init__(_rows(task, training, config.labels, window_stride), config, batching)
        self._task = task
        self._texts = evaluation.texts
        self._requests = [_encode(task, evaluation, text, window_stride) for text in evaluation.texts]

    def count(self, row: TokenRow) -> int:
        """Count the tokens that have a label."""
        return int(np.count_nonzero(row.token_targets != NO_TARGET))

    def targets(self, rows: Sequence[TokenRow], length: int) -> Targets:
        """Return int64 `[rows, length]`."""
        labels = np.full((len(rows), length), NO_TARGET, dtype=np.int64)
        for index, row in enumerate(rows):
            labels[index, : len(row)] = row.token_targets
        return (torch.from_numpy(labels),)

    def summed_loss(self, model: BigBird, batch: Batch, targets: Targets) -> torch.Tensor:
        """Sum the cross-entropies of all labelled tokens."""
        logits = model(*batch.inputs).float()
        return F.cross_entropy(logits.flatten(0, 1), targets[0].flatten(), ignore_index=NO_TARGET, reduction="sum")

    def measure(self, model: BigBird, source: None) -> Measured:
        """Find the entities of every text of the evaluation file."""
        rows = [row_of(window.sequence) for request in self._requests for window in request.windows]
        outputs = iter(model_outputs(model, rows, self.batching.rows, self.batching.device))
        counts = []
        for text, request in zip(self._texts, self._requests, strict=True):
            found = self._task.decode(request, [next(outputs) for _ in request.windows]).entities
            expected = {(entity.label, (entity.start, entity.end)) for entity in text.entities}
            counts.append(count_entities(expected, {(entity.entity, (entity.start, entity.end)) for entity in found}))
        total = micro(add_up(counts))
        return Measured(total.f1, {"precision": total.precision, "recall": total.recall, "entity f1": total.f1})


def token_labels(file: ConllFile, text: TaggedText, tokens: TokenizedText, labels: Sequence[str]) -> Int64Array:
    """Return the number of each token's label, `NO_TARGET` for tokens without characters of their own.

    Args:
        file: Where the text comes from, for messages.
        text: With its entities.
        tokens: Of the text.
        labels: The model's, of the BIO scheme.

    Raises:
        DataError: An entity has no visible characters.
    """
    numbers = {label: number for number, label in enumerate(labels)}
    targets = np.full(len(tokens), numbers[OUTSIDE], dtype=np.int64)
    for entity in text.entities:
        span = tokens_of_span(tokens, entity.start, entity.end)
        if span is None:
            raise DataError(file.path, text.line, f"the entity {text.text[entity.start : entity.end]!r} is invisible")
        first, last = span
        targets[first] = numbers[f"B-{entity.label}"]
        targets[first + 1 : last + 1] = numbers[f"I-{entity.label}"]
    return np.where(tokens.ends > tokens.starts, targets, NO_TARGET)


def _rows(task: EntityTask, file: ConllFile, labels: Sequence[str], stride: int | None) -> list[TokenRow]:
    rows = []
    for text in file.texts:
        encoded = _encode(task, file, text, stride)
        targets = token_labels(file, text, encoded.tokens, labels)
        for window in encoded.windows:
            row = row_of(window.sequence)
            own = np.full(len(row), NO_TARGET, dtype=np.int16)
            own[window.text_offset : window.text_offset + window.token_count] = targets[
                window.first_token : window.first_token + window.token_count
            ]
            rows.append(TokenRow(row.ids, row.second, own))
    return rows


def _encode(task: EntityTask, file: ConllFile, text: TaggedText, stride: int | None) -> EncodedRequest[EntityRequest]:
    return encode_example(task, EntityRequest(text.text, window_stride=stride), file.path, text.line)
