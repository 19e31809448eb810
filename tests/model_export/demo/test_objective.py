import torch

from model_export.config import BigBirdConfig
from model_export.demo.batches import Batch
from model_export.demo.objective import logits_of
from model_export.nn.model import build_model
from model_export.patterns.registry import get_pattern


def test_a_shift_leaves_positions_out_after_the_question_and_trains_the_far_ones() -> None:
    config = BigBirdConfig(
        vocab_size=32, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, max_position_embeddings=1024
    )
    model = build_model(config, "qa", get_pattern("transformers")).eval()
    ids = torch.arange(64)[None] % 32
    batch = Batch(ids, torch.ones_like(ids), torch.zeros_like(ids))
    shifted = logits_of(model, batch, shift=500)
    shifted.sum().backward()  # type: ignore[no-untyped-call]
    gradient = model.embeddings.position.weight.grad
    assert gradient is not None
    assert gradient.abs().sum(dim=1).nonzero()[:, 0].tolist() == [*range(20), *range(520, 564)]

    moved = build_model(config, "qa", get_pattern("transformers")).eval()
    moved.load_state_dict(model.state_dict())
    with torch.no_grad():
        moved.embeddings.position.weight[20:64] = model.embeddings.position.weight[520:564]
        assert torch.allclose(logits_of(moved, batch), shifted, atol=1e-6)
