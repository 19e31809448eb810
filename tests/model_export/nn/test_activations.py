import pytest
import torch
from transformers.activations import ACT2FN

from model_export.errors import ConfigError
from model_export.nn.activations import ACTIVATIONS, get_activation

# transformers 5 has no entry for these two; PyTorch does.
ONLY_IN_TORCH = {"selu": torch.nn.SELU(), "elu": torch.nn.ELU()}


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_an_activation_gives_what_its_namesake_gives(name: str) -> None:
    x = torch.linspace(-12, 12, 4801)
    expected = ONLY_IN_TORCH[name](x) if name in ONLY_IN_TORCH else ACT2FN[name](x)
    torch.testing.assert_close(get_activation(name)(x), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gelu_new", "gelu", "relu", "selu", "silu", "swish", "tanh"])
def test_the_common_activations_are_known(name: str) -> None:
    assert name in ACTIVATIONS


def test_the_two_kinds_of_gelu_are_not_mixed_up() -> None:
    x = torch.linspace(-4, 4, 801)
    assert (get_activation("gelu")(x) - get_activation("gelu_new")(x)).abs().max() > 1e-4


def test_every_activation_of_transformers_is_known_or_refused_for_its_weights() -> None:
    with_weights = {name for name in ACT2FN if any(True for _ in ACT2FN[name].parameters())}
    assert set(ACT2FN) - set(ACTIVATIONS) == with_weights == {"prelu", "xielu"}
    for name in with_weights:
        with pytest.raises(ConfigError, match=f"^hidden_act: {name} has weights of its own"):
            get_activation(name)


@pytest.mark.parametrize("name", ["gelu_10_000", "", "GELU"])
def test_an_unknown_activation_is_refused_by_the_name_of_its_field(name: str) -> None:
    with pytest.raises(ConfigError, match=r"^hidden_act: .*is not known") as refused:
        get_activation(name)
    assert "gelu_new" in str(refused.value)
