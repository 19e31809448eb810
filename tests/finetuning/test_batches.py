"""# tests/finetuning/test_batches.py: None"""

import numpy as np

from finetuning.batches import StepRows

LENGTHS = [64 * int(number) for number in np.random.default_rng(3).integers(1, 20, 1003)]


def test_an_epoch_shows_every_row_once() -> None:
    rows = StepRows(LENGTHS, 8, seed=1)
    assert rows.steps_per_epoch == 126
    for epoch in range(2):
        drawn = np.concatenate([rows.of_step(epoch * 126 + step) for step in range(126)])
        assert sorted(drawn.tolist()) == list(range(1003))


def test_a_step_depends_on_seed_and_number_alone() -> None:
    first, second = StepRows(LENGTHS, 8, seed=1), StepRows(LENGTHS, 8, seed=1)
    for step in (300, 2, 127, 300):
        assert first.of_step(step).tolist() == second.of_step(step).tolist()
    other = StepRows(LENGTHS, 8, seed=2)
    assert first.of_step(0).tolist() != other.of_step(0).tolist()


def test_epochs_have_different_orders() -> None:
    rows = StepRows(LENGTHS, 8, seed=1)
    assert rows.of_step(0).tolist() != rows.of_step(126).tolist()


def test_rows_of_a_step_are_nearly_of_one_length() -> None:
    rows = StepRows(LENGTHS, 8, seed=1)
    lengths = np.array(LENGTHS)
    padded = sum(lengths[rows.of_step(step)].max() * len(rows.of_step(step)) for step in range(126))
    assert padded < 1.05 * lengths.sum()  # in a random order it would be 1.8 times


def test_the_shortest_row_of_a_step_comes_first() -> None:
    rows = StepRows(LENGTHS, 8, seed=1)
    for step in range(20):
        lengths = [LENGTHS[row] for row in rows.of_step(step)]
        assert lengths == sorted(lengths)
