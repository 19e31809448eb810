"""Activation functions by their Hugging Face names."""

import math
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


def clipped_gelu(x: torch.Tensor) -> torch.Tensor:
    """GELU between -10 and 10, for quantisation (Wu et al. 2020, Integer Quantization for Deep Learning Inference)."""
    return torch.clip(F.gelu(x), -10, 10)


def laplace(x: torch.Tensor) -> torch.Tensor:
    """Distribution function of a normal one that is close to `relu2` (Ma et al. 2022, Mega, section 3.2)."""
    return 0.5 * (1.0 + torch.erf((x - 0.707107) / (0.282095 * math.sqrt(2.0))))


def sqrt_softplus(x: torch.Tensor) -> torch.Tensor:
    """Square root of softplus."""
    return F.softplus(x).sqrt()


def identity(x: torch.Tensor) -> torch.Tensor:
    """Return the input."""
    return x


tanh_gelu: Activation = partial(F.gelu, approximate="tanh")

ACTIVATIONS: dict[str, Activation] = {
    "gelu": F.gelu,
    "gelu_10": clipped_gelu,
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
    "laplace": laplace,
    "leaky_relu": F.leaky_relu,
    "sqrtsoftplus": sqrt_softplus,
    "tanh": torch.tanh,
    "sigmoid": torch.sigmoid,
    "linear": identity,
}
_WITH_WEIGHTS = ("prelu", "xielu")


def get_activation(name: str) -> Activation:
    """Return the activation of that Hugging Face name.

    Raises:
        ConfigError: There is none, or it has weights of its own; the message lists those there are.
    """
    if name in _WITH_WEIGHTS:
        raise ConfigError(f"hidden_act: {name} has weights of its own, with which no model can be exported")
    try:
        return ACTIVATIONS[name]
    except KeyError:
        raise ConfigError(f"hidden_act: {name!r} is not known; known are {', '.join(sorted(ACTIVATIONS))}") from None
