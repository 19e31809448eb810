"""Masked-language-model training on texts without labels: the encoder learns the language of the documents.

15 of 100 tokens are chosen anew at every step; of these 80 of 100 become [MASK], 10 another token, 10 stay as they are
(Devlin et al. 2019, section 3.1). The model's head is computed at the chosen tokens only.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tokenization.encoded import Int64Array
from bigbird_inference.tokenization.tokenizer import SINGLE_SPECIAL_TOKENS, Tokenizer
from evaluation.data.plain_texts import PlainText
from evaluation.data.source_text import DataError, Mistakes
from finetuning.batches import Batch, Int32Array, Row, pad, uses_full_attention
from finetuning.objective import Batching, FileObjective, Measured, Targets
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird

NO_TARGET = -100
_CHOSEN = 0.15
_MASKED = 0.8
_REPLACED = 0.1
# A seed of its own for the evaluation file, whose masks are the same at every measurement.
_EVALUATION_STEP = 2**32


@dataclass(frozen=True, slots=True)
class MaskedRow(Row):
    """A text as the model sees it.

    Attributes:
        positions: Of the chosen tokens, ascending; empty before any is chosen.
        tokens: What stands there in truth.
        number: Of the row in its file.
    """

    positions: Int32Array
    tokens: Int32Array
    number: int


class Masking:
    """Chooses tokens and hides them."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        """Prepare the masking with a vocabulary that has a mask.

        Args:
            tokenizer: Says which tokens may stand in for others: all that a text can hold.
            seed: Of what is chosen.
        """
        assert tokenizer.mask_id is not None
        self._mask_id = tokenizer.mask_id
        self._special = np.array([tokenizer.cls_id, tokenizer.sep_id])
        self._seed = seed
        self._ordinary = tokenizer.vocabulary.ordinary

    def of_step(self, row: MaskedRow, step: int) -> MaskedRow:
        """Return a row with other tokens chosen at every step."""
        generator = np.random.default_rng([self._seed, step, row.number])
        possible = np.flatnonzero(~np.isin(row.ids, self._special))
        count = max(1, round(_CHOSEN * len(possible)))
        positions = np.sort(generator.choice(possible, count, replace=False))
        ids = row.ids.copy()
        fate = generator.random(count)
        ids[positions[fate < _MASKED]] = self._mask_id
        replaced = positions[(fate >= _MASKED) & (fate < _MASKED + _REPLACED)]
        ids[replaced] = generator.choice(self._ordinary, len(replaced))
        return MaskedRow(ids, row.types, positions.astype(np.int32), row.ids[positions], row.number)


class MaskedLanguageModel(FileObjective[MaskedRow]):
    """Learns to fill masks; measures the loss, and how often the likeliest token is the right one."""

    score_name = "negative loss"

    def __init__(
        self,
        tokenizer: Tokenizer,
        training: Sequence[MaskedRow],
        evaluation: Sequence[MaskedRow],
        config: BigBirdConfig,
        batching: Batching,
    ) -> None:
        super().__init__(training, config, batching)
        self._masking = Masking(tokenizer, batching.seed)
        masked = [self._masking.of_step(row, _EVALUATION_STEP) for row in evaluation]
        self._evaluation = sorted(masked, key=len)

    def drawn(self, rows: list[MaskedRow], step: int) -> list[MaskedRow]:
        """Hide tokens."""
        return [self._masking.of_step(row, step) for row in rows]

    def count(self, row: MaskedRow) -> int:
        """Count the chosen tokens."""
        return len(row.positions)

    def targets(self, rows: Sequence[MaskedRow], length: int) -> Targets:
        """Return the chosen positions and their tokens, int64 `[rows, most chosen]` each."""
        most = max(len(row.positions) for row in rows)
        positions = np.zeros((len(rows), most), dtype=np.int64)
        tokens = np.full((len(rows), most), NO_TARGET, dtype=np.int64)
        for index, row in enumerate(rows):
            positions[index, : len(row.positions)] = row.positions
            tokens[index, : len(row.positions)] = row.tokens
        return torch.from_numpy(positions), torch.from_numpy(tokens)

    def summed_loss(self, model: BigBird, batch: Batch, targets: Targets) -> torch.Tensor:
        """Sum the cross-entropies of all chosen tokens."""
        positions, tokens = targets
        logits = model(*batch.inputs, positions).float()
        return F.cross_entropy(logits.flatten(0, 1), tokens.flatten(), ignore_index=NO_TARGET, reduction="sum")

    def measure(self, model: BigBird, source: None) -> Measured:
        """Fill the masks of the evaluation file."""
        loss, right, count = 0.0, 0, 0
        for rows in self._evaluation_groups():
            batch = pad(rows, self.config).to(self.batching.device)
            positions, tokens = (target.to(self.batching.device) for target in self.targets(rows, 0))
            logits = model(*batch.inputs, positions).float()
            loss += F.cross_entropy(
                logits.flatten(0, 1), tokens.flatten(), ignore_index=NO_TARGET, reduction="sum"
            ).item()
            right += int((logits.argmax(dim=-1) == tokens).sum())
            count += sum(len(row.positions) for row in rows)
        return Measured(-loss / count, {"evaluation loss": loss / count, "accuracy": right / count})

    def _evaluation_groups(self) -> Iterable[list[MaskedRow]]:
        for full in (True, False):
            kind = [row for row in self._evaluation if uses_full_attention(len(row), self.config) == full]
            for first in range(0, len(kind), self.batching.rows):
                yield kind[first : first + self.batching.rows]


def masked_rows(
    tokenizer: Tokenizer, path: Path, texts: Sequence[PlainText], max_length: int, *, joined: bool
) -> list[MaskedRow]:
    """Return the rows of a file.

    Args:
        tokenizer: Of the model.
        path: The file, for messages.
        texts: Its texts.
        max_length: Tokens of a row at most, special ones included. A longer text becomes several rows.
        joined: Whether texts follow one another like paragraphs, so that as many as fit share a row.

    Raises:
        DataError: A text is not Unicode, or there is no visible text in the file.
    """
    room = max_length - SINGLE_SPECIAL_TOKENS
    runs: list[list[Int64Array]] = [[]]
    with Mistakes(path) as mistakes:
        for text in texts:
            try:
                ids = tokenizer.tokenize_without_positions(text.text).ids
            except InvalidInput as error:
                mistakes.add(text.line, str(error))
                continue
            filled = sum(map(len, runs[-1]))
            if runs[-1] and (not joined or filled + len(ids) > room):
                runs.append([])
            runs[-1].append(ids)
    rows: list[MaskedRow] = []
    for run in runs:
        ids = np.concatenate(run)
        for first in range(0, len(ids), room):
            sequence = tokenizer.single(ids[first : first + room]).input_ids.astype(np.int32)
            nothing = np.empty(0, dtype=np.int32)
            types = np.zeros(len(sequence), dtype=np.uint8)
            rows.append(MaskedRow(sequence, types, nothing, nothing, len(rows)))
    if not rows:
        raise DataError(path, None, "no visible text in the file")
    return rows
