"""Activation functions by their Hugging Face names."""

from collections.abc import Callable
from functools import partial

import torch
import torch.nn.functional as F

from model_export.errors import ConfigError

Activation = Callable[[torch.Tensor], torch.Tensor]


def quick_gelu(x: torch.Tensor) -> torch.Tensor:
    """Sigmoid approximation of GELU, `x * sigmoid(1.702 x)` (Hendrycks and Gimpel 2016, section 2)."""
    return x * torch.sigmoid(1.702 * x)


def squared_relu(x: torch.Tensor) -> torch.Tensor:
    """Square of ReLU (So et al. 2021, Primer)."""
    return torch.square(F.relu(x))


def identity(x: torch.Tensor) -> torch.Tensor:
    """Return the input."""
    return x


tanh_gelu: Activation = partial(F.gelu, approximate="tanh")

ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_python": F.gelu,
    "gelu_new": tanh_gelu,
    "gelu_fast": tanh_gelu,
    "gelu_pytorch_tanh": tanh_gelu,
    "gelu_python_tanh": tanh_gelu,
    "gelu_accurate": tanh_gelu,
    "quick_gelu": quick_gelu,
    "relu": F.relu,
    "relu2": squared_relu,
    "relu6": F.relu6,
    "selu": F.selu,
    "elu": F.elu,
    "silu": F.silu,
    "swish": F.silu,
    "mish": F.mish,
    "hardswish": F.hardswish,
    "leaky_relu": F.leaky_relu,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": identity,
}


def get_activation(name: str) -> Activation:
    """Return the activation of that Hugging Face name.

    Raises:
        ConfigError: There is none; the message lists those there are.
    """
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ConfigError(f"hidden_act: {name!r} is not known; known are {', '.join(sorted(ACTIVATIONS))}") from None
