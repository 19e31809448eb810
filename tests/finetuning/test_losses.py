"""Losses of our model on the rows that our trainer makes, against transformers on the same weights and batch.

transformers draws random blocks in training mode only, so its dropouts are 0 and our pattern is the one that it trains
with. A batch holds rows of one length: transformers lets padding compete for answers.
"""

from pathlib import Path

import pytest
import torch
import transformers

from finetuning.classification import PROBLEM_TYPES
from finetuning.entity_recognition import EntityRecognition
from finetuning.masked_language_model import MaskedLanguageModel
from finetuning.question_answering import QuestionAnswering
from tests.finetuning.small_models import load
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.reference_models import make_config, make_model

FULL, SPARSE = 96, 160
ROWS = 3
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


class Pair:
    """A transformers model in training mode and ours with its weights, and a batch for both."""

    def __init__(self, folder: Path, task: str, length: int, **fields: object) -> None:
        config = make_config(vocabulary_size(folder / "vocabulary"), **NO_DROPOUT, **fields)
        self.theirs = make_model(task, config).train()
        self.theirs.bert.set_attention_type("block_sparse")
        self.ours = load(save_model(self.theirs, folder / "checkpoint"), task, "transformers-train")
        generator = torch.Generator().manual_seed(7)
        self.ids = torch.randint(5, config.vocab_size, (ROWS, length), generator=generator)
        self.types = torch.zeros_like(self.ids)
        self.types[:, 10:] = 1
        self.mask = torch.ones_like(self.ids)
        self.generator = generator

    def inputs(self) -> dict[str, torch.Tensor]:
        return {"input_ids": self.ids, "attention_mask": self.mask, "token_type_ids": self.types}

    def batch(self) -> "OurBatch":
        return OurBatch(self.ids, self.mask, self.types)


class OurBatch:
    def __init__(self, *inputs: torch.Tensor) -> None:
        self.inputs = inputs


LENGTHS = [pytest.param(FULL, id="full attention"), pytest.param(SPARSE, id="block-sparse attention")]


@pytest.mark.parametrize("length", LENGTHS)
def test_the_loss_of_an_answer(tmp_path: Path, length: int) -> None:
    pair = Pair(tmp_path, "qa", length)
    pair.ids[:, 9] = 2  # the [SEP] after the question, by which transformers finds the context
    edges = torch.tensor([[20, 24], [0, 0], [length - 3, length - 2]])
    theirs = pair.theirs(**pair.inputs(), start_positions=edges[:, 0], end_positions=edges[:, 1])
    competing = torch.zeros(ROWS, length, dtype=torch.bool)
    competing[:, 10:] = True
    competing[:, 0] = True
    ours = QuestionAnswering.summed_loss(None, pair.ours, pair.batch(), (edges, competing)) / ROWS  # type: ignore[arg-type]
    assert ours.item() == pytest.approx(theirs.loss.item(), abs=2e-5)
    assert theirs.loss.item() > 1


@pytest.mark.parametrize("length", LENGTHS)
def test_the_loss_of_entities(tmp_path: Path, length: int) -> None:
    pair = Pair(tmp_path, "ner", length, id2label={0: "O", 1: "B-PER", 2: "I-PER"})
    labels = torch.randint(0, 3, (ROWS, length), generator=pair.generator)
    labels[:, :5] = -100
    theirs = pair.theirs(**pair.inputs(), labels=labels)
    ours = EntityRecognition.summed_loss(None, pair.ours, pair.batch(), (labels,)) / (labels != -100).sum()  # type: ignore[arg-type]
    assert ours.item() == pytest.approx(theirs.loss.item(), abs=2e-5)
    assert theirs.loss.item() > 0.5


@pytest.mark.parametrize(
    ("problem_type", "targets"),
    [
        pytest.param("single_label_classification", [[2.0], [0.0], [1.0]], id="one label"),
        pytest.param("multi_label_classification", [[1.0, 0, 1], [0, 0, 0], [0, 1, 0]], id="any number of labels"),
        pytest.param("regression", [[2.5], [-1.0], [0.0]], id="a number"),
    ],
)
@pytest.mark.parametrize("length", LENGTHS)
def test_the_loss_of_a_classification(
    tmp_path: Path, length: int, problem_type: str, targets: list[list[float]]
) -> None:
    count = 1 if problem_type == "regression" else 3
    names = {number: f"label {number}" for number in range(count)}
    pair = Pair(tmp_path, "classify", length, id2label=names, problem_type=problem_type)
    wanted = torch.tensor(targets)
    labels = wanted if problem_type == "multi_label_classification" else wanted[:, 0]
    if problem_type == "single_label_classification":
        labels = labels.long()
    theirs = pair.theirs(**pair.inputs(), labels=labels)
    ours = PROBLEM_TYPES[problem_type].summed_loss(pair.ours(pair.ids, pair.mask, pair.types), wanted) / ROWS
    assert ours.item() == pytest.approx(theirs.loss.item(), abs=2e-5)
    assert theirs.loss.item() > 0.3


@pytest.mark.parametrize("length", LENGTHS)
def test_the_loss_of_masked_tokens(tmp_path: Path, length: int) -> None:
    pair = Pair(tmp_path, "fill-mask", length)
    positions = torch.tensor([[3, 40, 90], [1, 2, 95], [7, 8, 0]])
    tokens = torch.randint(5, 50, (ROWS, 3), generator=pair.generator)
    tokens[2, 2] = -100  # a row with two chosen tokens
    labels = torch.full((ROWS, length), -100)
    for row in range(ROWS):
        for position, token in zip(positions[row].tolist(), tokens[row].tolist(), strict=True):
            if token != -100:
                labels[row, position] = token
    theirs = pair.theirs(**pair.inputs(), labels=labels)
    ours = MaskedLanguageModel.summed_loss(None, pair.ours, pair.batch(), (positions, tokens)) / 8  # type: ignore[arg-type]
    assert ours.item() == pytest.approx(theirs.loss.item(), abs=2e-5)
    assert theirs.loss.item() > 1


def test_the_comparison_could_fail(tmp_path: Path) -> None:
    """With the random blocks of evaluation mode the losses differ by far more than the tolerance."""
    pair = Pair(tmp_path, "ner", SPARSE, id2label={0: "O", 1: "B-PER", 2: "I-PER"})
    labels = torch.randint(0, 3, (ROWS, SPARSE), generator=pair.generator)
    theirs = pair.theirs(**pair.inputs(), labels=labels).loss.item()
    other = load(tmp_path / "checkpoint", "ner", "transformers")
    ours = EntityRecognition.summed_loss(None, other, pair.batch(), (labels,)) / labels.numel()  # type: ignore[arg-type]
    assert abs(ours.item() - theirs) > 2e-3
    assert isinstance(pair.theirs, transformers.BigBirdForTokenClassification)
