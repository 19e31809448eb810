from pathlib import Path
from typing import Any

import pytest
import torch

from bigbird_inference.tokenization.tokenizer import Tokenizer
from demo.batches import Lengths
from demo.classification import Classification
from demo.entity_recognition import EntityRecognition
from demo.objective import Objective
from demo.question_answering import QuestionAnswering, QuestionExamples
from demo.recipe import Recipe
from demo.training import Training
from finetuning.plan import Stage
from finetuning.progress import Progress
from model_export.errors import ExportError

SHORT = Lengths(50, 55, subjects=2)
TWO_STAGES = Recipe(stages=(Stage((SHORT,), 2), Stage((SHORT,), 2)), learning_rate=1e-3)
TOKENS = 128

OBJECTIVES = [
    pytest.param(QuestionAnswering, id="question answering"),
    pytest.param(Classification, id="classification"),
    pytest.param(EntityRecognition, id="entities"),
]


class StopsAt(QuestionAnswering):
    """Question answering that is interrupted before a given batch."""

    stop_at = 3

    def examples(self, number: int, lengths: Lengths, tokens: int, first_seed: int) -> QuestionExamples:
        if number == self.stop_at:
            raise KeyboardInterrupt
        return super().examples(number, lengths, tokens, first_seed)


def training(objective: Objective[Any], state_file: Path, recipe: Recipe = TWO_STAGES) -> Training:
    return Training(objective, recipe, state_file, seed=1, tokens=TOKENS)


@pytest.fixture
def progress(tmp_path: Path) -> Progress:
    return Progress("qa", tmp_path / "qa.log")


@pytest.mark.parametrize("objective", OBJECTIVES)
def test_a_few_steps_lower_the_loss(
    objective: type[Classification], tokenizer: Tokenizer, tmp_path: Path, progress: Progress
) -> None:
    task = objective(tokenizer, 64)
    own = training(task, tmp_path / "state", Recipe((Stage((SHORT,), 6),), learning_rate=0.05))
    examples = task.examples(0, SHORT, TOKENS, first_seed=0)
    before = task.loss(own.model, own.aids, examples, 0).item()
    own.run(progress)
    after = task.loss(own.model, own.aids, examples, 0).item()
    assert after < before


def test_a_resumed_training_ends_with_the_weights_of_one_that_never_stopped(
    tokenizer: Tokenizer, tmp_path: Path, progress: Progress
) -> None:
    straight = training(QuestionAnswering(tokenizer, 64), tmp_path / "straight")
    straight.run(progress)
    with pytest.raises(KeyboardInterrupt):
        training(StopsAt(tokenizer, 64), tmp_path / "stopped").run(progress)
    resumed = training(QuestionAnswering(tokenizer, 64), tmp_path / "stopped")
    assert resumed.resume()
    assert resumed.position.total_steps == 2
    resumed.run(progress)
    assert resumed.position.total_steps == 4
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_without_a_saved_state_nothing_is_resumed(tokenizer: Tokenizer, tmp_path: Path) -> None:
    assert not training(QuestionAnswering(tokenizer, 64), tmp_path / "none").resume()


def test_the_state_of_another_seed_is_not_taken_for_this_one(
    tokenizer: Tokenizer, tmp_path: Path, progress: Progress
) -> None:
    training(QuestionAnswering(tokenizer, 64), tmp_path / "state").run(progress)
    other = Training(QuestionAnswering(tokenizer, 64), TWO_STAGES, tmp_path / "state", seed=2, tokens=TOKENS)
    with pytest.raises(ExportError, match="seed"):
        other.resume()


def test_a_stage_ends_when_its_score_is_reached(tokenizer: Tokenizer, tmp_path: Path, progress: Progress) -> None:
    source: tuple[Lengths, ...] = (SHORT,)
    stages = (Stage(source, 1, enough=0.0), Stage(source, 1))
    own = training(QuestionAnswering(tokenizer, 64), tmp_path / "state", Recipe(stages, learning_rate=1e-3))
    own.run(progress)
    assert (own.position.stage, own.position.total_steps) == (2, 2)


def test_measurements_are_kept_in_the_log(tokenizer: Tokenizer, tmp_path: Path, progress: Progress) -> None:
    training(QuestionAnswering(tokenizer, 64), tmp_path / "state").run(progress)
    lines = (tmp_path / "qa.log").read_text().splitlines()
    assert len(lines) == 2
    assert "stage 2/2 step 2 (total 4" in lines[1]
    assert "exact match" in lines[1]


def test_another_models_encoder_can_be_the_start(tokenizer: Tokenizer, tmp_path: Path) -> None:
    first = training(QuestionAnswering(tokenizer, 64), tmp_path / "first")
    second = Training(Classification(tokenizer, 64), TWO_STAGES, tmp_path / "second", seed=2)
    second.start_from(first.model)
    assert torch.equal(second.model.embeddings.word.weight, first.model.embeddings.word.weight)
