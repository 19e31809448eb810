"""The loop, on a model of two layers that learns the labels of random tokens."""

from pathlib import Path

import pytest
import torch

from finetuning.forward import Precision, recompute_activations
from finetuning.objective import Measured
from finetuning.plan import Plan, Position, Stage
from finetuning.progress import Progress
from finetuning.trainer import Trainer, TrainingFailed
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from tests.finetuning.parity import CONFIG, Parity, small_model, trainer
from tests.finetuning.small_models import CPU


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


def test_a_loss_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    model = small_model()
    with torch.no_grad():
        model.head.output.bias.fill_(float("nan"))  # type: ignore[union-attr, operator]
    with pytest.raises(ExportError, match="the loss of step 1 is nan"):
        trainer(Parity(), tmp_path / "state", model).run(Progress("x"))


class Steep(Parity):
    """The loss is as ever, but its gradient is infinite."""

    def loss(self, model: BigBird, part: torch.Tensor) -> torch.Tensor:
        weight = model.get_parameter("head.output.bias")[0]
        return super().loss(model, part) + (weight - weight.detach()) * 3e38 * 10


def test_an_infinite_gradient_ends_the_training_before_it_changes_a_weight(tmp_path: Path) -> None:
    own = trainer(Steep(), tmp_path / "state", seconds_between_saves=0)
    before = {name: weight.clone() for name, weight in own.model.state_dict().items()}
    with pytest.raises(TrainingFailed, match=r"the gradient's length of step 1 is (inf|nan): try a lower learning"):
        own.run(Progress("x"))
    for name, weight in own.model.state_dict().items():
        assert torch.equal(weight, before[name]), name
    assert not (tmp_path / "state").exists()


def test_a_score_that_is_no_number_ends_the_training(tmp_path: Path) -> None:
    own = trainer(Parity(scores=[0.5, float("nan")]), tmp_path / "state", steps_per_measurement=2)
    with pytest.raises(TrainingFailed, match="the score after step 4 is nan"):
        own.run(Progress("x"))


def test_training_is_in_the_chosen_precision_and_measuring_in_single_precision(tmp_path: Path) -> None:
    seen = []

    class Watching(Parity):
        def loss(self, model: BigBird, part: torch.Tensor) -> torch.Tensor:
            seen.append(("trained", torch.is_autocast_enabled("cpu")))
            return super().loss(model, part)

        def measure(self, model: BigBird, source: str) -> Measured:
            seen.append(("measured", torch.is_autocast_enabled("cpu")))
            return super().measure(model, source)

    plan = Plan(stages=(Stage("all", 1),), learning_rate=0.01)
    precision = Precision.of("bf16", CPU)
    Trainer(small_model(), Watching(), plan, tmp_path / "state", seed=3, precision=precision).run(Progress("x"))
    assert seen == [("trained", True), ("measured", False)]


def test_the_curve_in_numbers_has_steps_and_measurements(tmp_path: Path) -> None:
    own = trainer(Parity(scores=[0.5]), tmp_path / "state", stages=(Stage("all", 2),))
    own.run(Progress("x"))
    lines = list(own.history.json_lines())
    assert len(lines) == 3
    assert lines[2] == '{"step": 2, "stage": 1, "score": 0.5}'
