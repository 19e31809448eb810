import pytest
import torch

from finetuning.flash_attention import FlashAttention
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird, build_model, twin_of
from model_export.patterns.registry import get_pattern

BLOCK = 16


def models(pattern: str) -> tuple[BigBird, BigBird]:
    torch.manual_seed(0)
    config = BigBirdConfig(
        vocab_size=50,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=512,
        block_size=BLOCK,
        num_random_blocks=2,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )
    composed = build_model(config, "qa", get_pattern(pattern))
    with torch.no_grad():
        for weight in composed.encoder.parameters():
            weight.mul_(4.0)  # else attention is nearly even, and errors do not show
    flash = twin_of(composed)
    flash.encoder.kernel = FlashAttention()
    return composed, flash


@pytest.mark.parametrize("pattern", ["transformers", "transformers-train", "none"])
@pytest.mark.parametrize(
    "lengths",
    [
        pytest.param((90, 144, 60), id="full attention"),
        pytest.param((320, 200, 161), id="block-sparse, documents of unequal length"),
    ],
)
def test_it_computes_what_the_composed_kernel_computes(pattern: str, lengths: tuple[int, ...]) -> None:
    composed, flash = models(pattern)
    padded = -(-max(lengths) // BLOCK) * BLOCK
    mask = (torch.arange(padded) < torch.tensor(lengths)[:, None]).long()
    ids = torch.randint(0, 50, mask.shape)
    expected, own = (model(ids, mask, torch.zeros_like(ids)) for model in (composed, flash))
    difference = ((own - expected) * mask[..., None]).abs().max()
    assert expected.std() > 0.05
    assert difference < 2e-4 * expected.std()


def test_its_gradients_are_those_of_the_composed_kernel() -> None:
    composed, flash = models("transformers")
    ids = torch.randint(0, 50, (2, 256))
    mask = torch.ones_like(ids)
    gradients = []
    for model in (composed, flash):
        model.zero_grad()
        model(ids, mask, torch.zeros_like(ids)).square().sum().backward()
        weight = dict(model.named_parameters())["encoder.layers.0.attention.key.weight"]
        assert weight.grad is not None
        gradients.append(weight.grad.clone())
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-2, atol=1e-4 * float(gradients[0].abs().max()))
