"""The loop, on a model of two layers that learns the labels of random tokens."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from model_export.training.gradient_checkpointing import recompute_activations
from model_export.training.objective import Measured
from model_export.training.plan import Plan, Stage
from model_export.training.position import Position
from model_export.training.precision import Precision
from model_export.training.progress import Progress
from model_export.training.trainer import Trainer
from tests.model_export.training.small_models import CPU

CONFIG = BigBirdConfig(
    vocab_size=20,
    hidden_size=16,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=16,
    block_size=16,
    num_random_blocks=1,
    max_position_embeddings=160,
)
FP32 = Precision.of("fp32", CPU)
ROWS = 6


class Parity:
    """Learns whether each token's id is even."""

    def __init__(self, cuts: Sequence[int] = (ROWS,), scores: Sequence[float] = (), length: int = 32) -> None:
        self.cuts, self.scores, self.length = cuts, list(scores), length
        self.stop_at: int | None = None

    def parts(self, shown: str, position: Position) -> list[torch.Tensor]:
        generator = torch.Generator().manual_seed(position.total_steps)
        return list(torch.randint(0, 20, (ROWS, self.length), generator=generator).split(list(self.cuts)))

    def loss(self, model: BigBird, part: torch.Tensor) -> torch.Tensor:
        if self.stop_at is not None:
            self.stop_at -= 1
            if self.stop_at < 0:
                raise KeyboardInterrupt
        logits = model(part, torch.ones_like(part), torch.zeros_like(part)).flatten(0, 1)
        return F.cross_entropy(logits.float(), part.flatten() % 2, reduction="sum") / (ROWS * self.length)

    def measure(self, model: BigBird, shown: str) -> Measured:
        assert not model.training
        score = self.scores.pop(0) if self.scores else 0.0
        return Measured(score, {"score": score})


def small_model(dropout: float = 0.0) -> BigBird:
    torch.manual_seed(0)
    fields = {**CONFIG.to_dict(), "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout}
    return build_model(BigBirdConfig.from_dict(fields), "ner", get_pattern("transformers"))


def trainer(objective: Parity, state: Path, model: BigBird | None = None, **plan: Any) -> Trainer[str, torch.Tensor]:
    fields: dict[str, Any] = {"stages": (Stage("all", 8),), "learning_rate": 0.01, "warm_up_steps": 0, **plan}
    settings = {"rate": fields["learning_rate"]}
    return Trainer(model or small_model(), objective, Plan(**fields), state, seed=3, precision=FP32, settings=settings)


def gradients(model: BigBird, objective: Parity) -> dict[str, torch.Tensor]:
    model.train()
    for part in objective.parts("", Position()):
        objective.loss(model, part).backward()  # type: ignore[no-untyped-call]
    return {name: weight.grad for name, weight in model.named_parameters() if weight.grad is not None}


def test_a_model_learns(tmp_path: Path) -> None:
    own = trainer(Parity(), tmp_path / "state", stages=(Stage("all", 60),))
    own.run(Progress("x"))
    assert own.history.losses[0] > 0.5
    assert own.history.losses[-1] < 0.1


def test_accumulated_gradients_are_those_of_one_large_batch(tmp_path: Path) -> None:
    whole, cut = (gradients(small_model(), Parity(cuts)) for cuts in ((6,), (1, 2, 3)))
    assert whole.keys() == cut.keys()
    for name in whole:
        assert torch.allclose(whole[name], cut[name], atol=1e-7), name
    curves = []
    for cuts in ((6,), (1, 2, 3)):
        own = trainer(Parity(cuts), tmp_path / f"{len(cuts)}")
        own.run(Progress("x"))
        curves.append(own.history.losses)
    assert curves[0] == pytest.approx(curves[1], abs=1e-5)


@pytest.mark.parametrize(
    "length", [pytest.param(32, id="full attention"), pytest.param(160, id="block-sparse attention")]
)
def test_recomputed_activations_give_the_same_gradients(length: int) -> None:
    torch.manual_seed(5)
    kept = gradients(small_model(dropout=0.1), Parity(length=length))
    model = small_model(dropout=0.1)
    recompute_activations(model)
    recomputed = gradients(model, Parity(length=length))
    assert set(model.state_dict()) == set(small_model().state_dict())
    for name in kept:
        assert torch.equal(kept[name], recomputed[name]), name


def test_a_resumed_training_has_the_losses_and_weights_of_one_that_never_stopped_bit_for_bit(tmp_path: Path) -> None:
    model = small_model(dropout=0.2)
    straight = trainer(Parity(), tmp_path / "straight", model, seconds_between_saves=0)
    straight.run(Progress("x"))
    objective = Parity()
    objective.stop_at = 5
    with pytest.raises(KeyboardInterrupt):
        trainer(objective, tmp_path / "stopped", small_model(0.2), seconds_between_saves=0).run(Progress("x"))
    torch.manual_seed(99)  # whatever the process did before
    resumed = trainer(Parity(), tmp_path / "stopped", small_model(0.2))
    assert resumed.resume()
    assert resumed.position.total_steps == 5
    resumed.run(Progress("x"))
    assert resumed.history.losses == straight.history.losses
    for name, weight in straight.model.state_dict().items():
        assert torch.equal(weight, resumed.model.state_dict()[name]), name


def test_dropout_leaves_out_other_units_at_every_step_and_the_same_with_the_same_seed(tmp_path: Path) -> None:
    curves = []
    for name in ("one", "two"):
        own = trainer(Parity(), tmp_path / name, small_model(dropout=0.3), learning_rate=1e-12)
        own.run(Progress("x"))
        curves.append(own.history.losses)
    assert curves[0] == curves[1]
    still = trainer(Parity(), tmp_path / "still", learning_rate=1e-12)
    still.run(Progress("x"))
    differences = [round(left - right, 6) for left, right in zip(curves[0], still.history.losses, strict=True)]
    assert len(set(differences)) == len(differences)


@pytest.mark.parametrize("length", [pytest.param(32, id="full"), pytest.param(160, id="block-sparse")])
def test_attention_weights_are_dropped_out_in_training_alone(length: int) -> None:
    fields = {**CONFIG.to_dict(), "hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.5}
    model = build_model(BigBirdConfig.from_dict(fields), "ner", get_pattern("transformers"))
    ids = torch.arange(length)[None] % 20
    inputs = (ids, torch.ones_like(ids), torch.zeros_like(ids))
    with torch.no_grad():
        assert not torch.equal(model(*inputs), model(*inputs))
        assert torch.equal(model.eval()(*inputs), model(*inputs))


def test_the_best_weights_are_kept_and_the_first_of_equals_is_best(tmp_path: Path) -> None:
    scores = [0.1, 0.7, 0.3, 0.7]
    own = trainer(Parity(scores=scores), tmp_path / "state", steps_per_measurement=2, keep_best=True)
    own.run(Progress("x"))
    best = own.history.best
    assert best is not None and (best.total_steps, best.score) == (4, 0.7)
    last = own.model.state_dict()["head.output.bias"].clone()
    own.load_best()
    assert not torch.equal(own.model.state_dict()["head.output.bias"], last)


def test_the_training_ends_when_patience_is_over(tmp_path: Path) -> None:
    scores = [0.1, 0.5, 0.5, 0.4, 0.9]
    own = trainer(Parity(scores=scores), tmp_path / "state", steps_per_measurement=1, patience=2)
    own.run(Progress("x"))
    assert own.position.total_steps == 4
    assert own.finished
    again = trainer(Parity(), tmp_path / "state", patience=2)
    assert again.resume() and again.finished


def test_a_stage_ends_when_its_score_is_reached(tmp_path: Path) -> None:
    stages = (Stage("easy", 4, enough=0.5), Stage("hard", 2))
    own = trainer(Parity(scores=[0.2, 0.6, 0.0]), tmp_path / "state", stages=stages, steps_per_measurement=1)
    own.run(Progress("x"))
    assert [(one.stage, one.total_steps) for one in own.history.measurements] == [(0, 1), (0, 2), (1, 3), (1, 4)]


def test_a_state_of_other_settings_is_refused_and_they_are_named(tmp_path: Path) -> None:
    trainer(Parity(), tmp_path / "state").run(Progress("x"))
    with pytest.raises(ExportError, match=r"a training with rate 0\.01, not 0\.02\. Give the same settings"):
        trainer(Parity(), tmp_path / "state", learning_rate=0.02).resume()


def test_a_file_that_is_no_state_is_refused(tmp_path: Path) -> None:
    (tmp_path / "state").write_bytes(b"nonsense")
    with pytest.raises(ExportError, match="cannot be read as the state of a training"):
        trainer(Parity(), tmp_path / "state").resume()


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        model.head.output.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(ExportError, match="the loss of step 1 is nan"):
        trainer(Parity(), tmp_path / "state", model).run(Progress("x"))


def test_the_curve_in_numbers_has_steps_and_measurements(tmp_path: Path) -> None:
    own = trainer(Parity(scores=[0.5]), tmp_path / "state", stages=(Stage("all", 2),))
    own.run(Progress("x"))
    lines = list(own.history.json_lines())
    assert len(lines) == 3
    assert lines[2] == '{"step": 2, "stage": 1, "score": 0.5}'
