"""The training loop: steps through a plan's stages, measures, saves its state and goes on from it."""

import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Generic, TypeVar

import torch
from torch import nn

from finetuning.batches import DrawnAhead
from finetuning.forward import Precision
from finetuning.history import History, Measurement
from finetuning.objective import Measured, Objective
from finetuning.plan import Plan, Position, Stage, learning_rate, step_seed
from finetuning.progress import Progress
from finetuning.state_file import Setting, check_settings, read_state, write_state
from model_export.errors import ExportError
from model_export.nn.model import BigBird


class TrainingFailed(ExportError):
    """It cannot go on: what it computes is not a number, or there is no memory for it."""


class TrainingStopped(Exception):
    """It was asked to stop by a signal, and has saved its state.

    Attributes:
        signal_number: Which.
    """

    def __init__(self, message: str, signal_number: int) -> None:
        super().__init__(message)
        self.signal_number = signal_number


SourceT = TypeVar("SourceT")
PartT = TypeVar("PartT")


class Trainer(Generic[SourceT, PartT]):
    """One training of one model.

    Attributes:
        model: What is trained.
        position: Where the training stands.
        history: Its losses and measurements so far.
    """

    def __init__(
        self,
        model: BigBird,
        objective: Objective[SourceT, PartT],
        plan: Plan[SourceT],
        state_file: Path,
        *,
        seed: int,
        precision: Precision,
        settings: Mapping[str, Setting] | None = None,
        aids: nn.Module | None = None,
        rate_factor: Callable[[str], float] = lambda name: 1.0,
        after_save: "Callable[[Trainer[SourceT, PartT]], None] | None" = None,
        after_measurement: "Callable[[Trainer[SourceT, PartT]], None] | None" = None,
    ) -> None:
        """Prepare a training; nothing is trained yet.

        Args:
            model: With its first weights, on the device where it is to be trained.
            objective: What it learns.
            plan: In which stages, and how.
            state_file: Where the state is saved; a state found there is gone on with by `resume`.
            seed: Determines dropout.
            precision: The number format.
            settings: What else determines the training: a state that was saved with others is refused.
            aids: Modules that are trained beside the model and are not part of it.
            rate_factor: By what the learning rate of a weight of the model is multiplied, by its name.
            after_save: Called whenever the state was saved.
            after_measurement: Called whenever the model was measured.
        """
        self.model = model
        self.position = Position()
        self.history = History()
        self._aids = nn.Module() if aids is None else aids
        self._after_save, self._after_measurement = after_save, after_measurement
        self._objective, self._plan, self._state_file = objective, plan, state_file
        self._seed, self._precision = seed, precision
        self._settings = {"seed": seed, "precision": precision.name, **(settings or {})}
        self._scaler = precision.gradient_scaler()
        trained = [(weight, rate_factor(name)) for name, weight in model.named_parameters() if weight.requires_grad]
        trained += [(weight, 1.0) for weight in self._aids.parameters() if weight.requires_grad]
        self._weights = [weight for weight, _ in trained]
        # A learning rate for each group, and no decay of biases and norms.
        groups = {
            (factor, decays): [weight for weight, own in trained if own == factor and (weight.ndim >= 2) == decays]
            for factor in sorted({factor for _, factor in trained})
            for decays in (True, False)
        }
        groups = {kind: weights for kind, weights in groups.items() if weights}
        self._rate_factors = [factor for factor, _ in groups]
        self._optimiser = torch.optim.AdamW(
            [
                {"params": weights, "weight_decay": plan.weight_decay if decays else 0.0}
                for (_, decays), weights in groups.items()
            ],
            lr=plan.learning_rate,
            betas=plan.betas,
            weight_decay=plan.weight_decay,
            fused=True,
        )

    @property
    def best_file(self) -> Path:
        """The weights of the best measurement, where the plan asks for them."""
        return self._state_file.with_name(f"{self._state_file.name}.best")

    @property
    def finished(self) -> bool:
        """Whether nothing is left to do."""
        return self.position.stage >= len(self._plan.stages)

    def resume(self) -> bool:
        """Take over the saved state, if there is one.

        Raises:
            ExportError: It cannot be read, or was saved with other settings.
        """
        if not self._state_file.exists():
            return False
        state = read_state(self._state_file)
        check_settings(self._state_file, state["settings"], self._settings)
        self._load_weights(state["model"])
        self._aids.load_state_dict(state["aids"])
        self._optimiser.load_state_dict(state["optimiser"])
        self._scaler.load_state_dict(state["scaler"])
        self.position = Position(**state["position"])
        self.history = History.from_state(state["history"])
        self._restore_best()
        return True

    def save(self) -> None:
        """Write the state, so that a crash at any time leaves the old or the new one."""
        state = {
            "settings": self._settings,
            "model": self._trained_weights(),
            "aids": self._aids.state_dict(),
            "optimiser": self._optimiser.state_dict(),
            "scaler": self._scaler.state_dict(),
            "position": asdict(self.position),
            "history": self.history.to_state(),
        }
        write_state(self._state_file, state)
        if self._after_save is not None:
            self._after_save(self)

    def load_best(self) -> None:
        """Return the model the weights of the best measurement."""
        self._load_weights(read_state(self.best_file)["model"])

    def run(self, progress: Progress, stop: Callable[[], bool] = lambda: False) -> None:
        """Trains from the current position to the end, or until it is to stop.

        Args:
            progress: Where to show it.
            stop: Asked after every step; whether to save and return before the end.

        Raises:
            TrainingFailed: The loss, a gradient or the measured score is no longer a number; nothing of it is saved.
        """
        clock = saved = time.monotonic()
        with DrawnAhead(self._draw) as batches:
            while not self.finished:
                stage = self._plan.stages[self.position.stage]
                rate = learning_rate(self._plan, self.position)
                loss = self._step(batches.take(self.position, self._following(stage)), rate)
                self.history.losses.append(loss)
                self.history.learning_rates.append(rate)
                now = time.monotonic()
                self.position, clock = self.position.after_step(now - clock), now
                progress.step(self._part, self.position.step, stage.steps, loss)
                stage_over = self.position.step >= stage.steps
                best_until_now = self.history.best
                if stage_over or self.position.step % self._plan.steps_per_measurement == 0:
                    stage_over = self._measure_and_note(stage, loss, progress) or stage_over
                    if self._is_patience_over():
                        progress.note(f"no better for {self._plan.patience} measurements: the training ends here")
                        self.position, stage_over = self._end(), True
                    elif stage_over:
                        self.position = self.position.after_stage()
                new_best = self._plan.keep_best and self.history.best is not best_until_now
                stopped = stop()
                if stage_over or new_best or stopped or now - saved >= self._plan.seconds_between_saves:
                    self.save()
                    saved = time.monotonic()
                if new_best:
                    self._write_best()
                if stopped:
                    return

    def _draw(self, position: Position) -> Sequence[PartT]:
        return self._objective.parts(self._plan.stages[position.stage].source, position)

    def _following(self, stage: Stage[SourceT]) -> Position | None:
        """Where the training stands after the next step, unless its stage ends early."""
        following = self.position.after_step(0.0)
        if following.step >= stage.steps:
            following = following.after_stage()
        return following if following.stage < len(self._plan.stages) else None

    def _step(self, parts: Sequence[PartT], rate: float) -> float:
        self.model.train()
        torch.manual_seed(step_seed(self._seed, self.position.total_steps))
        for group, factor in zip(self._optimiser.param_groups, self._rate_factors, strict=True):
            group["lr"] = rate * factor
        self._optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for part in parts:
            with self._precision.autocast():
                loss = self._objective.loss(self.model, part)
            self._scaler.scale(loss).backward()  # type: ignore[no-untyped-call]
            total += loss.item()
        self._require_number("loss", total)
        self._scaler.unscale_(self._optimiser)
        norm = nn.utils.clip_grad_norm_(self._weights, self._plan.max_gradient_norm)
        if not self._scaler.is_enabled():  # a scaler leaves such steps out by itself
            self._require_number("gradient's length", norm.item())
        self._scaler.step(self._optimiser)
        self._scaler.update()
        return total

    def _require_number(self, what: str, value: float) -> None:
        if not math.isfinite(value):
            step = self.position.total_steps + 1
            raise TrainingFailed(f"the {what} of step {step} is {value}: try a lower learning rate or a longer warm-up")

    def _measure_and_note(self, stage: Stage[SourceT], loss: float, progress: Progress) -> bool:
        """Measures, and tells whether the score is enough to end the stage."""
        measured = self._measure(stage)
        progress.note(self._describe(loss, measured))
        if self._after_measurement is not None:
            self._after_measurement(self)
        return stage.enough is not None and measured.score >= stage.enough

    def _measure(self, stage: Stage[SourceT]) -> Measured:
        """Measures in single precision, as the model is served by default."""
        self.model.eval()
        with torch.no_grad():
            measured = self._objective.measure(self.model, stage.source)
        position = self.position
        if not math.isfinite(measured.score):
            raise TrainingFailed(
                f"the score after step {position.total_steps} is {measured.score}: "
                "try a lower learning rate or a longer warm-up"
            )
        # Plain floats: a state file holds no objects of NumPy.
        figures = {name: float(figure) for name, figure in measured.figures.items()}
        self.history.measurements.append(
            Measurement(position.total_steps, position.stage, float(measured.score), figures)
        )
        return measured

    def _trained_weights(self) -> dict[str, torch.Tensor]:
        """Return the model's state without its frozen weights, which stand in the checkpoint that it started from."""
        frozen = {name for name, weight in self.model.named_parameters() if not weight.requires_grad}
        return {name: tensor for name, tensor in self.model.state_dict().items() if name not in frozen}

    def _load_weights(self, trained: Mapping[str, torch.Tensor]) -> None:
        """Take over what `_trained_weights` returned."""
        self.model.load_state_dict({**self.model.state_dict(), **trained})

    def _write_best(self) -> None:
        """Keep the current weights as the best ones; the state with the same weights was saved before."""
        write_state(self.best_file, {"total_steps": self.position.total_steps, "model": self._trained_weights()})

    def _restore_best(self) -> None:
        """Write the best weights that a crash kept from being written: the state was saved with them just before."""
        best = self.history.best
        if not self._plan.keep_best or best is None or best.total_steps != self.position.total_steps:
            return
        if not self.best_file.exists() or read_state(self.best_file)["total_steps"] != best.total_steps:
            self._write_best()

    def _is_patience_over(self) -> bool:
        patience = self._plan.patience
        return patience is not None and self.history.measurements_since_best() >= patience

    def _end(self) -> Position:
        return Position(len(self._plan.stages), 0, self.position.total_steps, self.position.seconds)

    @property
    def _part(self) -> str:
        return f"stage {self.position.stage + 1}" if len(self._plan.stages) > 1 else ""

    def _describe(self, loss: float, measured: Measured) -> str:
        position, stages = self.position, len(self._plan.stages)
        stage = f"stage {position.stage + 1}/{stages} " if stages > 1 else ""
        total = f"total {position.total_steps}, " if stages > 1 else ""
        figures = ", ".join(f"{name} {figure:.3f}" for name, figure in measured.figures.items())
        return f"{stage}step {position.step} ({total}{position.seconds / 60:.1f} min): loss {loss:.3f}, {figures}"
