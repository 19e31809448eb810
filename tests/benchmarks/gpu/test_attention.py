import copy

import pytest
import torch

from benchmarks.gpu.attention import PeerModel, bigbird_attention, dense_attention, dense_backend, fastest_backend
from model_export.config import BigBirdConfig
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern

# Without its compiler, FlexAttention says that it is slow.
pytestmark = pytest.mark.filterwarnings("ignore:flex_attention called without torch.compile")

CONFIG = BigBirdConfig(
    vocab_size=50,
    hidden_size=32,
    num_hidden_layers=2,
    num_attention_heads=2,
    intermediate_size=48,
    max_position_embeddings=160,
    block_size=8,
    labels=("a", "b", "c"),
)
COPIES = 3
FULL, SPARSE = 88, 136
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def model() -> BigBird:
    generator = torch.Generator().manual_seed(1)
    model = build_model(CONFIG, "classify", get_pattern("transformers")).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            # Large enough that different attention gives different logits.
            parameter.copy_(0.4 * torch.randn(parameter.shape, generator=generator))
    return model


def documents(length: int) -> tuple[torch.Tensor, torch.Tensor]:
    ids = torch.randint(0, 50, (3, length), generator=torch.Generator().manual_seed(length))
    return ids, torch.zeros_like(ids)


def differences(model: BigBird, peer: PeerModel, length: int) -> float:
    ids, types = documents(length)
    with torch.inference_mode():
        expected = model(ids, torch.ones_like(ids), types)
        assert expected.std() > 0.1
        return float((peer(ids, types) - expected).abs().max())


@pytest.fixture
def peer(model: BigBird) -> PeerModel:
    return PeerModel(copy.deepcopy(model))


def test_the_block_mask_attends_as_our_model_does(model: BigBird, peer: PeerModel) -> None:
    peer.attend_by(bigbird_attention(SPARSE, CONFIG.block_size, COPIES, "cpu"))
    assert differences(model, peer, SPARSE) < TOLERANCE


@pytest.mark.parametrize("copies", [0, 2], ids=["without copies of the first block", "with one copy too few"])
def test_the_copies_of_the_first_block_count(model: BigBird, peer: PeerModel, copies: int) -> None:
    peer.attend_by(bigbird_attention(SPARSE, CONFIG.block_size, copies, "cpu"))
    assert differences(model, peer, SPARSE) > 10 * TOLERANCE


def test_dense_attention_is_our_model_up_to_the_edge_and_another_function_beyond(
    model: BigBird, peer: PeerModel
) -> None:
    peer.attend_by(dense_attention)
    assert differences(model, peer, FULL) < TOLERANCE
    assert differences(model, peer, SPARSE) > 10 * TOLERANCE


@pytest.mark.parametrize("attention", ["dense", "bigbird"])
def test_compiled_layers_compute_the_same(model: BigBird, peer: PeerModel, attention: str) -> None:
    length = SPARSE if attention == "bigbird" else FULL
    if attention == "bigbird":
        peer.attend_by(bigbird_attention(length, CONFIG.block_size, COPIES, "cpu"))
    torch.compiler.reset()
    peer.compile_layers("eager")
    with dense_backend(fastest_backend(2, 16, "cpu", torch.float32)):
        assert differences(model, peer, length) < TOLERANCE
