"""The question-answering task: find the answer's first and last token, or tell that there is none.

Several questions about one report go into a batch, so that only the question tells their examples apart. While
training, linear maps have to mark, in one layer, the mentions of the subject that is asked about and, in the next,
everything that is said about it and whatever is asked, of all subjects; without them the model learns which entities
are of the right type and never which of them is meant.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
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
from demo.questions import Question
from demo.reports import Report
from demo.span_decoding import best_spans, joint_loss
from demo.tokens import NO_TARGET, Inputs, beginning, mask_of_spans, question_inputs, tokens_of_span
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

_QUESTIONS_PER_REPORT = 4
_AIDED_LAYERS = (1, 2, 2)
_AID_WEIGHTS = (1.0, 1.0, 1.0)


@dataclass(frozen=True, slots=True)
class _Row:
    """A question asked of one text: where the answer is (0, 0: nowhere), and what the aids have to mark."""

    inputs: Inputs
    first: int
    last: int
    marks: tuple[Int64Array, ...]


@dataclass(frozen=True, slots=True)
class QuestionExamples:
    """Questions and the texts they are asked of.

    Attributes:
        batch: A row for each window, those of a question one after the other.
        windows: How many windows each question has.
        targets: First and last token of the answer in the first window, int64 `[questions, 2]`; 0 if there is none.
        candidates: Which tokens may be an answer, [CLS] among them, bool `[rows, length]`.
        marks: For each aid, 1 on the tokens it has to mark, 0 on other tokens of the texts, int64 `[rows, length]`.
    """

    batch: Batch
    windows: int
    targets: torch.Tensor
    candidates: torch.Tensor
    marks: tuple[torch.Tensor, ...]


class QuestionAnswering:
    """Learns to answer questions about reports."""

    task = "qa"
    labels: tuple[str, ...] = ("LABEL_0", "LABEL_1")

    def __init__(self, tokenizer: Tokenizer, block_size: int) -> None:
        """Keep the tokenizer and the block size that inputs are padded to."""
        self._tokenizer = tokenizer
        self._block_size = block_size

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Build the maps that mark tokens in the middle layers."""
        return nn.ModuleList(nn.Linear(config.hidden_size, 1) for _ in _AIDED_LAYERS)

    def examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> QuestionExamples:
        """Draws reports, and of each up to four questions from anywhere in it."""
        rng = random.Random(f"questions/{first_seed}/{number}")
        reports = reports_of_batch(number, lengths, first_seed)
        rows: list[_Row] = []
        while not rows or len(rows) < rows_within(tokens, rows[0].inputs, self._block_size):
            drawn = list(islice(reports, lengths.windows))
            texts = [beginning(self._tokenizer.tokenize(report.text)) for report in drawn]
            for question in _drawn_questions(drawn[0], lengths.unanswered, rng):
                if question.end <= texts[0].ends[-1]:
                    rows += self._rows(question, texts)
        batch = pad((row.inputs for row in rows), self._block_size)
        offsets = [row.inputs.text_offset for row in rows]
        positions = torch.arange(batch.input_ids.shape[1])
        is_text = positions >= torch.tensor(offsets)[:, None]
        return QuestionExamples(
            batch=batch,
            windows=lengths.windows,
            targets=torch.tensor([(row.first, row.last) for row in rows[:: lengths.windows]]),
            candidates=(is_text | (positions == 0)) & (batch.attention_mask == 1),
            marks=tuple(
                padded_targets(batch, zip(offsets, (row.marks[aid] for row in rows), strict=True), fill=NO_TARGET)
                for aid in range(len(_AIDED_LAYERS))
            ),
        )

    def _rows(self, question: Question, texts: list[TokenizedText]) -> Iterator[_Row]:
        asked = self._tokenizer.tokenize(question.text)
        for index, text in enumerate(texts):
            inputs = question_inputs(self._tokenizer, asked, text)
            if index:
                nothing = mask_of_spans((), text)
                yield _Row(inputs, 0, 0, (nothing,) * len(_AIDED_LAYERS))
                continue
            first = last = 0
            if question.is_answered:
                tokens = tokens_of_span(text, question.start, question.end)
                first, last = (inputs.text_offset + token for token in tokens)
            marked = (question.subject_mentions, question.subject_values, question.attribute_values)
            yield _Row(inputs, first, last, tuple(mask_of_spans(spans, text) for spans in marked))

    def loss(self, model: BigBird, aids: nn.Module, examples: QuestionExamples, shift: int) -> torch.Tensor:
        """Add the losses of the first token, the last token and the marked tokens."""
        assert isinstance(aids, nn.ModuleList)
        hidden: list[torch.Tensor] = []
        hooks = [
            model.encoder.layers[layer].register_forward_hook(lambda _module, _inputs, states: hidden.append(states))
            for layer in _AIDED_LAYERS
        ]
        try:
            logits = _of_candidates(logits_of(model, examples.batch, shift), examples)
        finally:
            for hook in hooks:
                hook.remove()
        loss = joint_loss(logits, examples.targets, examples.windows)
        for aid, weight, states, marks in zip(aids, _AID_WEIGHTS, hidden, examples.marks, strict=True):
            loss = loss + weight * _marking_loss(aid(states)[..., 0], marks)
        return loss

    @torch.no_grad()
    def scores(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> dict[str, float]:
        """Measures how often an answer is exactly right, and F1 of finding that there is none."""
        exact: list[bool] = []
        right = found = expected = 0
        for number in range(batches):
            examples = self.examples(number, lengths, tokens, FIRST_VALIDATION_SEED)
            logits = _of_candidates(logits_of(model, examples.batch), examples)
            spans = best_spans(logits, examples.windows)
            for span, (first, last) in zip(spans, examples.targets.tolist(), strict=True):
                found += span is None
                if first == 0:
                    expected += 1
                    right += span is None
                else:
                    exact.append(span == (0, first, last))
        measured = {"exact match": sum(exact) / max(1, len(exact))}
        if lengths.unanswered:
            measured["no-answer F1"] = 2 * right / max(1, found + expected)
        return measured


def _drawn_questions(report: Report, unanswered: float, rng: random.Random) -> list[Question]:
    questions = []
    for _ in range(_QUESTIONS_PER_REPORT):
        source = report.unanswered if rng.random() < unanswered else report.questions
        questions.append(rng.choice(source))
    return list(dict.fromkeys(questions))


def _of_candidates(logits: torch.Tensor, examples: QuestionExamples) -> torch.Tensor:
    """Take the question, its [SEP] and the padding out of the competition; [CLS] stays in, as when served."""
    return logits.float().masked_fill(~examples.candidates[..., None], -1e4)


def _marking_loss(marked: torch.Tensor, marks: torch.Tensor) -> torch.Tensor:
    """Weighs the tokens to be marked and the others equally, however rare the former are."""
    losses = F.binary_cross_entropy_with_logits(marked.float(), (marks == 1).float(), reduction="none")
    others = losses[marks == 0].mean()
    return others + losses[marks == 1].mean() if bool((marks == 1).any()) else others
