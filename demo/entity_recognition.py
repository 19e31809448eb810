"""The entity task: label every token in the BIO scheme."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.batches import (
    FIRST_VALIDATION_SEED,
    Batch,
    Lengths,
    pad,
    padded_targets,
    reports_of_batch,
    rows_within,
)
from demo.positions import logits_of
from demo.tokens import ENTITY_LABELS, NO_TARGET, Inputs, beginning, entity_targets, single_inputs
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird


@dataclass(frozen=True, slots=True)
class LabelledExamples:
    """Reports and the labels of their tokens, int64 `[batch, length]`."""

    batch: Batch
    targets: torch.Tensor


class EntityRecognition:
    """Learns to find people, organisations, places, dates and sums of money."""

    task = "ner"
    labels: tuple[str, ...] = ENTITY_LABELS

    def __init__(self, tokenizer: Tokenizer, block_size: int) -> None:
        """Keep the tokenizer and the block size that inputs are padded to."""
        self._tokenizer = tokenizer
        self._block_size = block_size

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Needs none."""
        return nn.Identity()

    def examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> LabelledExamples:
        """Draws reports and labels their tokens."""
        inputs: list[Inputs] = []
        labels: list[Int64Array] = []
        for report in reports_of_batch(number, lengths, first_seed):
            text = beginning(self._tokenizer.tokenize(report.text))
            inputs.append(single_inputs(self._tokenizer, text))
            labels.append(entity_targets(report, text))
            if len(inputs) >= rows_within(tokens, inputs[0], self._block_size):
                break
        batch = pad(inputs, self._block_size)
        rows = ((row.text_offset, targets) for row, targets in zip(inputs, labels, strict=True))
        return LabelledExamples(batch, padded_targets(batch, rows, fill=NO_TARGET))

    def loss(self, model: BigBird, aids: nn.Module, examples: LabelledExamples, shift: int) -> torch.Tensor:
        """Compute the cross-entropy of the labels of the texts' tokens."""
        logits = logits_of(model, examples.batch, shift).float().flatten(0, 1)
        return F.cross_entropy(logits, examples.targets.flatten(), ignore_index=NO_TARGET)

    @torch.no_grad()
    def scores(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> dict[str, float]:
        """Measures F1 over whole entities: label, first and last token must all be right."""
        right = found = expected = 0
        for number in range(batches):
            examples = self.examples(number, lengths, tokens, FIRST_VALIDATION_SEED)
            predicted = logits_of(model, examples.batch).argmax(dim=-1)
            for labels, true_labels in zip(predicted, examples.targets, strict=True):
                is_text = true_labels != NO_TARGET
                own = entities_of(labels[is_text].tolist())
                true = entities_of(true_labels[is_text].tolist())
                right, found, expected = right + len(own & true), found + len(own), expected + len(true)
        return {"entity F1": 2 * right / max(1, found + expected)}


def entities_of(labels: Sequence[int]) -> set[tuple[str, int, int]]:
    """Group BIO labels, given as indices in `ENTITY_LABELS`, to (label, first token, last token)."""
    entities: set[tuple[str, int, int]] = set()
    open_label, first = "", 0
    for position, index in enumerate([*labels, 0]):
        prefix, _, label = ENTITY_LABELS[index].partition("-")
        if open_label and (prefix != "I" or label != open_label):
            entities.add((open_label, first, position - 1))
            open_label = ""
        if prefix == "B" or (prefix == "I" and not open_label):
            open_label, first = label, position
    return entities
