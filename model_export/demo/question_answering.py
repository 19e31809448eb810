"""The question-answering task: find the answer's first and last token.

Several questions about one report go into a batch, so that only the question tells their examples apart. While
training, a linear map on a middle layer has to mark the mentions of the subject that is asked about; without it the
model learns which entities are of the right type and never which of them is meant.
"""

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

from model_export.config import BigBirdConfig
from model_export.demo.batches import (
    FIRST_VALIDATION_SEED,
    Batch,
    Lengths,
    pad,
    padded_targets,
    position_shift,
    reports_of_batch,
    rows_within,
)
from model_export.demo.objective import logits_of
from model_export.demo.tokens import NO_TARGET, Inputs, mention_mask, question_inputs, tokens_of_span
from model_export.nn.model import BigBird
from service.tokenization.encoded import Int64Array
from service.tokenization.tokenizer import Tokenizer

_QUESTIONS_PER_REPORT = 4
_LONGEST_ANSWER = 30
_MENTION_LAYER = 1
_MENTION_LOSS_WEIGHT = 1.0


@dataclass(frozen=True, slots=True)
class _Example:
    inputs: Inputs
    first: int
    last: int
    mentions: Int64Array


class QuestionAnswering:
    """Learns to answer questions about reports."""

    task = "qa"
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")
    score_name = "exact match"

    def __init__(self, tokenizer: Tokenizer, block_size: int) -> None:
        """Keeps the tokenizer and the block size that inputs are padded to."""
        self._tokenizer = tokenizer
        self._block_size = block_size

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Builds the map that marks mentions of the subject in a middle layer."""
        return nn.Linear(config.hidden_size, 1)

    def loss(self, model: BigBird, aids: nn.Module, number: int, lengths: Lengths, tokens: int) -> torch.Tensor:
        """Adds the losses of the first token, the last token and the marked mentions."""
        examples = self._examples(number, lengths, tokens, first_seed=0)
        batch = pad((example.inputs for example in examples), self._block_size)
        middle: list[torch.Tensor] = []
        layer = model.encoder.layers[_MENTION_LAYER]
        hook = layer.register_forward_hook(lambda _module, _inputs, hidden: middle.append(hidden))
        try:
            shift = position_shift(number, lengths, model.config.max_position_embeddings)
            logits = _without_question(logits_of(model, batch, shift), examples, batch)
        finally:
            hook.remove()
        firsts = torch.tensor([example.first for example in examples])
        lasts = torch.tensor([example.last for example in examples])
        span_loss = F.cross_entropy(logits[..., 0], firsts) + F.cross_entropy(logits[..., 1], lasts)
        mentions = padded_targets(
            batch, ((example.inputs.text_offset, example.mentions) for example in examples), fill=NO_TARGET
        )
        return span_loss + _MENTION_LOSS_WEIGHT * _mention_loss(aids(middle[0])[..., 0], mentions)

    @torch.no_grad()
    def score(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> float:
        """Measures how often the best span is exactly the answer."""
        hits: list[bool] = []
        for number in range(batches):
            examples = self._examples(number, lengths, tokens, first_seed=FIRST_VALIDATION_SEED)
            batch = pad((example.inputs for example in examples), self._block_size)
            shift = position_shift(number, lengths, model.config.max_position_embeddings)
            logits = _without_question(logits_of(model, batch, shift), examples, batch)
            for (first, last), example in zip(best_spans(logits), examples, strict=True):
                hits.append(first == example.first and last == example.last)
        return sum(hits) / len(hits)

    def _examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> list[_Example]:
        examples: list[_Example] = []
        for report in reports_of_batch(number, lengths, first_seed):
            text = self._tokenizer.tokenize(report.text)
            # A report's questions stand in the order of its text: take some from everywhere.
            order = np.random.default_rng(number).permutation(len(report.questions))[:_QUESTIONS_PER_REPORT]
            for index in order:
                question = report.questions[index]
                inputs = question_inputs(self._tokenizer, self._tokenizer.tokenize(question.text), text)
                first, last = tokens_of_span(text, question.start, question.end)
                offset = inputs.text_offset
                mentions = mention_mask(question, text).astype(np.int64)
                examples.append(_Example(inputs, first + offset, last + offset, mentions))
            if len(examples) >= rows_within(tokens, examples[0].inputs, self._block_size):
                break
        return examples


def _without_question(logits: torch.Tensor, examples: list[_Example], batch: Batch) -> torch.Tensor:
    """Takes the question, its [SEP] and the padding out of the competition; [CLS] stays in, as when served."""
    positions = torch.arange(logits.shape[1])
    offsets = torch.tensor([example.inputs.text_offset for example in examples])[:, None]
    stays = ((positions >= offsets) | (positions == 0)) & (batch.attention_mask == 1)
    return logits.float().masked_fill(~stays[..., None], -1e4)


def _mention_loss(marks: torch.Tensor, mentions: torch.Tensor) -> torch.Tensor:
    """Weighs mentions and other tokens of the texts equally, however rare mentions are."""
    losses = F.binary_cross_entropy_with_logits(marks.float(), (mentions == 1).float(), reduction="none")
    return losses[mentions == 1].mean() + losses[mentions == 0].mean()


def best_spans(logits: torch.Tensor) -> list[tuple[int, int]]:
    """Finds the span of the highest sum of logits among those of up to `_LONGEST_ANSWER` tokens."""
    starts, ends = logits[..., 0], logits[..., 1]
    reach = min(_LONGEST_ANSWER, logits.shape[1])
    padded = F.pad(ends, (0, reach - 1), value=-1e9)
    # [batch, length, reach]: the logit of an end 0, 1, ... tokens after each start
    totals = starts[..., None] + padded.unfold(1, reach, 1)
    best = totals.flatten(1).argmax(dim=1).tolist()
    return [(index // reach, index // reach + index % reach) for index in best]
