"""# tests/finetuning/test_plan.py: None"""

import pytest

from finetuning.plan import Plan, Position, Stage, learning_rate, step_seed


def rates(plan: Plan[None]) -> list[float]:
    position, found = Position(), []
    for stage in plan.stages:
        for _ in range(stage.steps):
            found.append(learning_rate(plan, position))
            position = position.after_step(0.0)
        position = position.after_stage()
    return found


def test_the_rate_rises_over_the_warm_up_and_falls_linearly_to_zero() -> None:
    plan = Plan((Stage(None, 6, decay="linear"),), learning_rate=1.0, warm_up_steps=2)
    assert rates(plan) == pytest.approx([0.5, 1.0, 1.0, 0.75, 0.5, 0.25])


def test_a_cosine_falls_slowly_at_both_ends() -> None:
    plan = Plan((Stage(None, 4, decay="cosine"),), learning_rate=1.0, warm_up_steps=0)
    assert rates(plan) == pytest.approx([1.0, 0.8535534, 0.5, 0.1464466])


def test_each_stage_falls_on_its_own_and_the_warm_up_is_only_once() -> None:
    stages = (Stage(None, 2), Stage(None, 2, decay="linear"), Stage(None, 2, decay="linear"))
    plan = Plan(stages, learning_rate=1.0, warm_up_steps=2)
    assert rates(plan) == pytest.approx([0.5, 1.0, 1.0, 0.5, 1.0, 0.5])


def test_a_warm_up_longer_than_the_training_is_no_error() -> None:
    plan = Plan((Stage(None, 2, decay="linear"),), learning_rate=1.0, warm_up_steps=10)
    assert rates(plan) == pytest.approx([0.1, 0.2])


def test_every_step_has_random_numbers_of_its_own() -> None:
    seeds = {step_seed(seed, step) for seed in range(5) for step in range(200)}
    assert len(seeds) == 1000
