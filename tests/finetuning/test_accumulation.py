"""A step cut into parts computes what one large batch would, however many targets each part has.

The expectations are plain mean cross-entropies over all targets of the step, one row at a time.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from bigbird_inference.tokenization.tokenizer import Tokenizer
from evaluation.data.conll import read_conll
from evaluation.data.plain_texts import PlainText
from finetuning.batches import Row
from finetuning.entity_recognition import EntityRecognition
from finetuning.masked_language_model import MaskedLanguageModel, Masking, masked_rows
from finetuning.objective import FileObjective
from finetuning.plan import Position
from finetuning.served_task import served_task
from finetuning.start import Start
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from tests.finetuning.small_models import batching, sentence

WORDS = (2, 3, 5, 8, 50, 60)
"""Of each of the six texts; the longest are block-sparse."""
LABELS = ("O", "B-PER", "I-PER")
CUTS = [pytest.param(2, 3, id="three parts of two"), pytest.param(6, 1, id="one part of six")]
Summed = list[tuple[torch.Tensor, int]]


def model_of(encoder: Path, task: str) -> BigBird:
    model, _ = Start.find(encoder, task).model(LABELS, None, get_pattern("none"), seed=1)
    return model.eval()


def gradients(model: BigBird, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    model.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad.clone() for name, weight in model.named_parameters() if weight.grad is not None}


def step_loss(objective: FileObjective[Any], model: BigBird) -> torch.Tensor:
    return torch.stack([objective.loss(model, part) for part in objective.parts(None, Position())]).sum()


def logits_of(model: BigBird, row: Row, *positions: torch.Tensor) -> torch.Tensor:
    """One row alone, padded to its own blocks; `[length, labels]`, or `[length, vocabulary]` with all positions."""
    size = model.config.block_size
    padded = -(-len(row) // size) * size
    ids = torch.zeros(1, padded, dtype=torch.int64)
    ids[0, : len(row)] = torch.from_numpy(row.ids)
    mask = (torch.arange(padded) < len(row)).long()[None]
    logits: torch.Tensor = model(ids, mask, torch.zeros_like(ids), *positions)[0]
    return logits[: len(row)]


def mean_cross_entropy(rows: Iterator[tuple[torch.Tensor, list[tuple[int, int]]]]) -> torch.Tensor:
    """Of pairs of logits `[length, labels]` and what is right at which position."""
    losses = [
        torch.logsumexp(logits[position], 0) - logits[position, right]
        for logits, targets in rows
        for position, right in targets
    ]
    return torch.stack(losses).mean()


def assert_same(model: BigBird, ours: torch.Tensor, expected: torch.Tensor) -> None:
    assert ours.item() == pytest.approx(expected.item(), abs=1e-5)
    own, other = gradients(model, ours), gradients(model, expected)
    assert own.keys() == other.keys()
    for name, gradient in own.items():
        assert torch.allclose(gradient, other[name], atol=1e-5), name


@pytest.mark.parametrize(("rows", "parts"), CUTS)
def test_entities(encoder: Path, tokenizer: Tokenizer, tmp_path: Path, rows: int, parts: int) -> None:
    file = tmp_path / "entities.conll"
    texts = [sentence(count, seed=count).split(" ") for count in WORDS]
    # Every second word is a person; the tags differ in number as the lengths do.
    blocks = ["\n".join(f"{word} {('B-PER', 'O')[i % 2]}" for i, word in enumerate(text)) for text in texts]
    file.write_text("\n\n".join(blocks) + "\n")
    model = model_of(encoder, "ner")
    tagged = read_conll(file, unit="sentence")
    task = served_task(model.config, "ner", tokenizer, 256)
    objective = EntityRecognition(task, tagged, tagged, model.config, batching(rows, parts))
    assert [len(row) > 112 for row in objective.rows] == [False] * 4 + [True] * 2
    numbers = [
        (logits_of(model, row), [(at, int(label)) for at, label in enumerate(row.token_targets) if label >= 0])
        for row in objective.rows
    ]
    assert len({len(targets) for _, targets in numbers}) == 6
    assert_same(model, step_loss(objective, model), mean_cross_entropy(iter(numbers)))


@pytest.mark.parametrize(("rows", "parts"), CUTS)
def test_masked_tokens(encoder: Path, tokenizer: Tokenizer, rows: int, parts: int) -> None:
    model = model_of(encoder, "fill-mask")
    texts = [PlainText(sentence(count, seed=count), line) for line, count in enumerate(WORDS, 1)]
    own = masked_rows(tokenizer, Path("texts.jsonl"), texts, 256, joined=False)
    assert [len(row) > 112 for row in own] == [False] * 4 + [True] * 2
    objective = MaskedLanguageModel(tokenizer, own, own, model.config, batching(rows, parts))
    masked = [Masking(tokenizer, 1).of_step(row, 0) for row in own]
    every = [
        (
            logits_of(model, row, torch.arange(len(row))[None]),
            list(zip(row.positions.tolist(), row.tokens.tolist(), strict=True)),
        )
        for row in masked
    ]
    assert len({len(targets) for _, targets in every}) > 3
    assert_same(model, step_loss(objective, model), mean_cross_entropy(iter(every)))
