"""Learning to find entities, from a file in CoNLL's format or from texts with offsets.

Every visible token gets a label, also the later tokens of a word: serving labels tokens, and joins those of one entity.
A new head has labels of the BIO scheme; one that is kept learns its own, whichever of the schemes that are served it
has.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F

from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.entity_recognition import EntityAnswer, EntityRequest
from bigbird_inference.tasks.label_scheme import OUTSIDE, LabelScheme
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText, Window
from evaluation.data.entity_tags import entity_types
from evaluation.data.entity_texts import EntityFile, EntityText
from evaluation.data.source_text import DataError, Mistakes
from evaluation.metrics.entities import add_up, count_entities, micro
from finetuning.batches import Batch, Row, row_of
from finetuning.forward import model_outputs
from finetuning.objective import Batching, FileObjective, Measured, Targets
from finetuning.served_task import encode_all, encode_example
from finetuning.span_rows import tokens_of_span
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

EntityTask = Task[EntityRequest, EntityAnswer]

NO_TARGET = -100
_SMALLEST_ROOM = 64


def bio_labels(entity_types: Sequence[str]) -> tuple[str, ...]:
    """Return the labels of a model that finds entities of these types."""
    return (OUTSIDE, *(f"{prefix}-{label}" for label in entity_types for prefix in "BI"))


@dataclass(frozen=True, slots=True)
class EntityLabels:
    """The numbers of the labels of an entity's tokens: of the first and the last of several, those between, and one."""

    first: int
    inside: int
    last: int
    single: int


def labels_of_entities(labels: Sequence[str]) -> dict[str, EntityLabels]:
    """Return what a model's labels give to each type of entity; types that have no label for inner tokens are left out.

    A position that the labels do not have falls to one with which the same entity is served: the last token of BIO is
    an inner one, and of labels without positions there is one for all.
    """
    scheme = LabelScheme.of(labels)
    marks = zip(scheme.entity_of, scheme.opens, scheme.closes, strict=True)
    number_of = {
        (scheme.entities[entity], bool(opens), bool(closes)): number
        for number, (entity, opens, closes) in enumerate(marks)
    }
    found = {}
    for entity in entity_types(labels):
        inside = number_of.get((entity, False, False))
        if inside is not None:
            first = number_of.get((entity, True, False), inside)
            last = number_of.get((entity, False, True), inside)
            found[entity] = EntityLabels(first, inside, last, number_of.get((entity, True, True), first))
    return found


def can_learn(labels: Sequence[str], file: EntityFile) -> bool:
    """Tell whether a model with these labels can find all entities of a file, and tell neighbours apart if it does."""
    own = labels_of_entities(labels)
    return OUTSIDE in labels and all(
        label in own and (file.scheme == "plain" or own[label].first != own[label].inside) for label in file.labels
    )


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
        training: EntityFile,
        evaluation: EntityFile,
        config: BigBirdConfig,
        batching: Batching,
        window_stride: int | None = None,
        pack_to: int | None = None,
    ) -> None:
        """Encode both files.

        Args:
            task: With windows of the training's length.
            training: What to learn from.
            evaluation: What to measure on.
            config: Of the model.
            batching: How rows are put together.
            window_stride: Tokens that neighbouring windows share.
            pack_to: Put short texts together into rows of up to so many tokens; None leaves each alone.
        """
        rows = _rows(task, training, config.labels, window_stride)
        if pack_to is not None:
            rows = packed(rows, pack_to, batching.seed)
        super().__init__(rows, config, batching)
        self._task = task
        self._texts = evaluation.texts
        self._requests = encode_all(
            evaluation.path, evaluation.texts, lambda text: _encode(task, evaluation, text, window_stride)
        )

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


def token_labels(file: EntityFile, text: EntityText, tokens: TokenizedText, labels: Sequence[str]) -> Int64Array:
    """Return the number of each token's label, `NO_TARGET` for tokens without characters of their own.

    Args:
        file: Where the text comes from, for messages.
        text: With its entities.
        tokens: Of the text.
        labels: The model's.

    Raises:
        DataError: An entity has no visible characters.
    """
    own = labels_of_entities(labels)
    targets = np.full(len(tokens), labels.index(OUTSIDE), dtype=np.int64)
    for entity in text.entities:
        span = tokens_of_span(tokens, entity.start, entity.end)
        if span is None:
            raise DataError(file.path, text.line, f"the entity {text.text[entity.start : entity.end]!r} is invisible")
        first, last = span
        label = own[entity.label]
        targets[first : last + 1] = label.inside
        targets[last] = label.last
        targets[first] = label.first if first < last else label.single
    return np.where(tokens.ends > tokens.starts, targets, NO_TARGET)


def packed(rows: Sequence[TokenRow], longest: int, seed: int) -> list[TokenRow]:
    """Put short rows together, drawn at random, as `[CLS] A [SEP] B [SEP] ...`.

    The room of each is drawn, too, all orders of magnitude alike: the model is to know texts of a line and of many
    pages.

    Args:
        rows: Of whole texts or windows of them.
        longest: Tokens of the largest room.
        seed: Determines what is drawn.
    """
    generator = np.random.default_rng([seed, len(rows)])
    found: list[TokenRow] = []
    together: list[TokenRow] = []
    room = 0
    for index in generator.permutation(len(rows)):
        row = rows[index]
        if together and sum(map(len, together)) + len(row) - len(together) > room:
            found.append(_joined(together))
            together = []
        if not together:
            room = round(np.exp(generator.uniform(np.log(_SMALLEST_ROOM), np.log(max(longest, _SMALLEST_ROOM)))))
        together.append(row)
    return [*found, *([_joined(together)] if together else [])]


def _joined(rows: Sequence[TokenRow]) -> TokenRow:
    """Return rows as one that begins once."""
    first, *others = rows
    return TokenRow(
        np.concatenate([first.ids, *(row.ids[1:] for row in others)]),
        np.concatenate([first.types, *(row.types[1:] for row in others)]),
        np.concatenate([first.token_targets, *(row.token_targets[1:] for row in others)]),
    )


def _rows(task: EntityTask, file: EntityFile, labels: Sequence[str], stride: int | None) -> list[TokenRow]:
    rows = []
    with Mistakes(file.path) as mistakes:
        for text in file.texts:
            with mistakes.collected():
                encoded = _encode(task, file, text, stride)
                targets = token_labels(file, text, encoded.tokens, labels)
                rows += [_row(window, targets) for window in encoded.windows]
    return rows


def _row(window: Window, targets: Int64Array) -> TokenRow:
    row = row_of(window.sequence)
    own = np.full(len(row), NO_TARGET, dtype=np.int16)
    own[window.text_offset : window.text_offset + window.token_count] = targets[
        window.first_token : window.first_token + window.token_count
    ]
    return TokenRow(row.ids, row.types, own)


def _encode(task: EntityTask, file: EntityFile, text: EntityText, stride: int | None) -> EncodedRequest[EntityRequest]:
    return encode_example(task, EntityRequest(text.text, window_stride=stride), file.path, text.line)
