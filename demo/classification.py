"""The classification task: tell a report's type."""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.batches import FIRST_VALIDATION_SEED, Batch, Lengths, pad, reports_of_batch, rows_within
from demo.positions import logits_of
from demo.prose import REPORT_TYPES
from demo.tokens import Inputs, beginning, single_inputs
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird


@dataclass(frozen=True, slots=True)
class TypeExamples:
    """Reports and their types, int64 `[batch]`."""

    batch: Batch
    types: torch.Tensor


class Classification:
    """Learns the types of reports."""

    task = "classify"
    labels: tuple[str, ...] = REPORT_TYPES

    def __init__(self, tokenizer: Tokenizer, block_size: int) -> None:
        """Keep the tokenizer and the block size that inputs are padded to."""
        self._tokenizer = tokenizer
        self._block_size = block_size

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Needs none."""
        return nn.Identity()

    def examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> TypeExamples:
        """Draws reports and their types."""
        inputs: list[Inputs] = []
        types: list[int] = []
        for report in reports_of_batch(number, lengths, first_seed):
            inputs.append(single_inputs(self._tokenizer, beginning(self._tokenizer.tokenize(report.text))))
            types.append(REPORT_TYPES.index(report.report_type))
            if len(inputs) >= rows_within(tokens, inputs[0], self._block_size):
                break
        return TypeExamples(pad(inputs, self._block_size), torch.tensor(types))

    def loss(self, model: BigBird, aids: nn.Module, examples: TypeExamples, shift: int) -> torch.Tensor:
        """Compute the cross-entropy of the report's type."""
        return F.cross_entropy(logits_of(model, examples.batch, shift).float(), examples.types)

    @torch.no_grad()
    def scores(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> dict[str, float]:
        """Measures how often the likeliest type is the report's."""
        hits: list[bool] = []
        for number in range(batches):
            examples = self.examples(number, lengths, tokens, FIRST_VALIDATION_SEED)
            predicted = logits_of(model, examples.batch).argmax(dim=-1)
            hits += (predicted == examples.types).tolist()
        return {"accuracy": sum(hits) / len(hits)}
