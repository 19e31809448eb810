"""A model in half precision: which of its numbers are halved, and which stay in float32.

Halved are the embedding tables and the products of the layers, which are nearly all of the weights and of the work.
Hidden states between them stay in float32: residual sums, LayerNorm, padding, pooler and the head, whose logits decide.
A head's own feed-forward layer is halved like the others. So is the product of a language model with its word
embeddings: they are one table, and in float32 it would be there twice; its logits are float32 again.

torch has no fast fp16 products on the CPU; `WideProducts` stands in for them.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torch.overrides import TorchFunctionMode

from model_export.nn.model import BigBird, twin_of

_HALVED = re.compile(r"^embeddings\.(?!norm\.)|\.feed_forward\.(?!norm\.)|\.attention\.(?!norm\.)")


def halved(model: BigBird, dtype: torch.dtype) -> BigBird:
    """Return a copy of a float32 model with halved tables and products; it shares the other weights.

    Args:
        model: In evaluation mode.
        dtype: float16 or bfloat16.
    """
    half = twin_of(model)
    for place, module in half.named_modules():
        for name, parameter in list(module.named_parameters(recurse=False)):
            if _HALVED.search(f"{place}.{name}"):
                setattr(module, name, nn.Parameter(parameter.detach().to(dtype), requires_grad=False))
    return half


def rounded(model: BigBird, dtype: torch.dtype) -> BigBird:
    """Return a copy of a float32 model, in float32, with the weights of its halved copy."""
    return halved(model, dtype).float()


class WideProducts(TorchFunctionMode):
    """While it is entered, linear maps in fp16 sum in float32 and round the result, which is what GPUs do as well.

    torch's own take ten times as long, or more.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """Compute a torch function, wider if it is such a product."""
        if func is F.linear and args[0].dtype == torch.float16 and args[0].device.type == "cpu":
            wide = (None if tensor is None else tensor.float() for tensor in args)
            return func(*wide, **(kwargs or {})).to(torch.float16)
        return func(*args, **(kwargs or {}))
