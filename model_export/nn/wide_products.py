"""fp16 products on the CPU, where torch has no fast ones of its own."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode


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
