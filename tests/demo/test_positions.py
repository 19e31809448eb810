import torch

from demo.batches import Batch
from demo.positions import PERIOD, logits_of, repeat_positions, rows_of_positions, sinusoids
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern


def small_model() -> BigBird:
    torch.manual_seed(0)
    config = BigBirdConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=4096
    )
    return build_model(config, "qa", get_pattern("transformers")).eval()


def batch_of(length: int) -> Batch:
    ids = torch.arange(length)[None] % 32
    return Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))


def test_neighbouring_positions_are_more_alike_than_distant_ones() -> None:
    positions = sinusoids(100, 16)
    likeness = positions @ positions[50]
    assert likeness[50] > likeness[51] > likeness[53]
    assert torch.allclose(positions[0], torch.tensor([0.0, 1.0] * 8))


def test_positions_a_period_apart_are_equal_and_no_others() -> None:
    positions = sinusoids(2 * PERIOD, 128)
    assert torch.allclose(positions[:PERIOD], positions[PERIOD:], atol=1e-3)
    likeness = positions[:PERIOD] @ positions[:PERIOD].T / 64
    assert likeness.fill_diagonal_(-1).max() < 0.95


def test_a_shift_leaves_positions_out_after_the_question_and_trains_the_far_ones() -> None:
    model = small_model()
    logits_of(model, batch_of(64), shift=500).sum().backward()  # type: ignore[no-untyped-call]
    gradient = model.embeddings.position.weight.grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).nonzero()[:, 0].tolist() == [*range(20), *range(520, 564)]


def test_a_shift_beyond_the_period_begins_anew() -> None:
    assert rows_of_positions(30, PERIOD - 22)[18:26].tolist() == [18, 19, 1022, 1023, 0, 1, 2, 3]


@torch.no_grad()
def test_a_saved_model_computes_what_the_trained_one_computed() -> None:
    model = small_model()
    inputs = batch_of(1536)
    trained = logits_of(model, inputs)
    assert not torch.allclose(model(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids), trained)
    repeat_positions(model)
    saved = model(inputs.input_ids, inputs.attention_mask, inputs.token_type_ids)
    assert torch.allclose(saved, trained, atol=1e-6)
