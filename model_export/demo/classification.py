"""The classification task: tell a report's type."""

import torch
import torch.nn.functional as F
from torch import nn

from model_export.config import BigBirdConfig
from model_export.demo.batches import FIRST_VALIDATION_SEED, Lengths, pad, position_shift, reports_of_batch, rows_within
from model_export.demo.objective import logits_of
from model_export.demo.prose import REPORT_TYPES
from model_export.demo.tokens import Inputs, single_inputs
from model_export.nn.model import BigBird
from service.tokenization.tokenizer import Tokenizer


class Classification:
    """Learns the types of reports."""

    task = "classify"
    labels: tuple[str, ...] = REPORT_TYPES
    score_name = "accuracy"

    def __init__(self, tokenizer: Tokenizer, block_size: int) -> None:
        """Keeps the tokenizer and the block size that inputs are padded to."""
        self._tokenizer = tokenizer
        self._block_size = block_size

    def training_aids(self, config: BigBirdConfig) -> nn.Module:
        """Needs none."""
        return nn.Identity()

    def loss(self, model: BigBird, aids: nn.Module, number: int, lengths: Lengths, tokens: int) -> torch.Tensor:
        """Computes the cross-entropy of the report's type."""
        inputs, types = self._examples(number, lengths, tokens, first_seed=0)
        shift = position_shift(number, lengths, model.config.max_position_embeddings)
        return F.cross_entropy(logits_of(model, pad(inputs, self._block_size), shift).float(), types)

    @torch.no_grad()
    def score(self, model: BigBird, lengths: Lengths, batches: int, tokens: int) -> float:
        """Measures how often the likeliest type is the report's."""
        hits: list[bool] = []
        for number in range(batches):
            inputs, types = self._examples(number, lengths, tokens, first_seed=FIRST_VALIDATION_SEED)
            shift = position_shift(number, lengths, model.config.max_position_embeddings)
            predicted = logits_of(model, pad(inputs, self._block_size), shift).argmax(dim=-1)
            hits += (predicted == types).tolist()
        return sum(hits) / len(hits)

    def _examples(
        self, number: int, lengths: Lengths, tokens: int, first_seed: int
    ) -> tuple[list[Inputs], torch.Tensor]:
        inputs: list[Inputs] = []
        types: list[int] = []
        for report in reports_of_batch(number, lengths, first_seed):
            inputs.append(single_inputs(self._tokenizer, self._tokenizer.tokenize(report.text)))
            types.append(REPORT_TYPES.index(report.report_type))
            if len(inputs) >= rows_within(tokens, inputs[0], self._block_size):
                break
        return inputs, torch.tensor(types)
