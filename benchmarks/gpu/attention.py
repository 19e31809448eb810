"""The peers' attention, put into our own torch model in place of ours: the same weights, the same layers around it.

Documents fill their padded length here, so that nobody needs a padding mask: the fastest case of each.
"""

import contextlib
import math
import time
import warnings
from collections.abc import Callable, Iterator
from typing import Protocol

import torch
import torch._dynamo
import torch.nn.functional as F
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

from model_export.nn.attention import Dropout, heads_together
from model_export.nn.model import BigBird

_BACKENDS = (SDPBackend.FLASH_ATTENTION, SDPBackend.CUDNN_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
# Entries of compiled code for one function.
_MOST_COMPILED = 64
_TIMED_DOCUMENTS, _TIMED_LENGTH, _TIMED_RUNS = 4, 4096, 10


class Attend(Protocol):
    """An attention."""

    def __call__(self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        """Return contexts for queries, keys and values; all `[batch, heads, length, head_dim]`, not scaled."""
        ...


class PeerLayout:
    """What our layers take for one of their own layouts.

    Args:
        attend: The attention.
    """

    def __init__(self, attend: Attend) -> None:
        self._attend = attend

    def attend(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, dropout: Dropout
    ) -> torch.Tensor:
        """Attend; see `AttentionLayout`."""
        batch, length, width = query.shape

        def apart(states: torch.Tensor) -> torch.Tensor:
            return states.view(batch, length, heads, width // heads).transpose(1, 2)

        return heads_together(self._attend(apart(query), apart(key), apart(value)))


class PeerModel(nn.Module):
    """Our model with another attention, in evaluation mode.

    Args:
        model: Whose layers these are.
    """

    def __init__(self, model: BigBird) -> None:
        super().__init__()
        self.model = model
        self._layout = PeerLayout(dense_attention)
        self.eval()

    def attend_by(self, attend: Attend) -> None:
        """Exchange the attention of every layer."""
        self._layout = PeerLayout(attend)

    def compile_layers(self, backend: str) -> None:
        """Compile the layer; all layers are one code, so that they share what is compiled for a shape."""
        # Several entries for each shape; beyond the usual eight, compiling fails.
        torch._dynamo.config.recompile_limit = _MOST_COMPILED
        for layer in self.model.encoder.layers:
            layer.compile(fullgraph=True, dynamic=False, backend=backend)

    def forward(self, input_ids: torch.Tensor, token_type_ids: torch.Tensor) -> torch.Tensor:
        """Map int64 `[batch, length]` ids and token types to logits."""
        hidden = self.model.embeddings(input_ids, token_type_ids)
        for layer in self.model.encoder.layers:
            hidden = layer(hidden, self._layout)
        logits: torch.Tensor = self.model.head(hidden)
        return logits


def dense_attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
    """Let every token attend to every other, through torch's fused attention."""
    return F.scaled_dot_product_attention(query, key, value)


def bigbird_attention(length: int, block_size: int, first_block_copies: int, device: str) -> Attend:
    """Return BigBird's attention of documents that fill this length, as FlexAttention with a block mask.

    Args:
        length: In tokens, whole blocks.
        block_size: Tokens in a block, and in a block of the mask.
        first_block_copies: Further times that block 0 counts in a middle row.
        device: Where it runs.
    """
    last = length // block_size - 1
    repeat_score = math.log1p(first_block_copies)

    def is_attended(batch: object, head: object, query: torch.Tensor, key: torch.Tensor) -> torch.Tensor:
        row, column = query // block_size, key // block_size
        is_global = (row == 0) | (row == last) | (column == 0) | (column == last)
        return is_global | ((row - column <= 1) & (column - row <= 1))

    def with_copies(
        score: torch.Tensor, batch: object, head: object, query: torch.Tensor, key: torch.Tensor
    ) -> torch.Tensor:
        is_copied = (query >= block_size) & (query < last * block_size) & (key < block_size)
        return torch.where(is_copied, score + repeat_score, score)

    mask = create_block_mask(is_attended, None, None, length, length, device=device, BLOCK_SIZE=block_size)

    def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> torch.Tensor:
        context = flex_attention(
            query,
            key,
            value,
            score_mod=with_copies if first_block_copies else None,
            block_mask=mask,
            # The kernel's tiles must divide the mask's blocks; its own choice is larger than 64.
            kernel_options={"BLOCK_M": block_size, "BLOCK_N": block_size},
        )
        assert isinstance(context, torch.Tensor)
        return context

    return attend


@contextlib.contextmanager
def dense_backend(backend: SDPBackend) -> Iterator[None]:
    """Let torch's fused attention run in this backend."""
    with sdpa_kernel([backend]):
        yield


def fastest_backend(heads: int, head_dim: int, device: str, dtype: torch.dtype) -> SDPBackend:
    """Return the fastest backend of torch's fused attention for long documents, by timing each of those that run.

    torch's own order of preference is by what is stable, not by what is fast on this device.
    """
    shape = (_TIMED_DOCUMENTS, heads, _TIMED_LENGTH, head_dim) if device != "cpu" else (1, heads, 64, head_dim)
    query, key, value = (torch.randn(shape, device=device, dtype=dtype) for _ in range(3))
    seconds: dict[SDPBackend, float] = {}
    for backend in _BACKENDS:
        with dense_backend(backend), contextlib.suppress(RuntimeError), warnings.catch_warnings():
            # A backend that is not there says why in a warning, then raises.
            warnings.simplefilter("ignore")
            dense_attention(query, key, value)
            seconds[backend] = timed(lambda: dense_attention(query, key, value), _TIMED_RUNS, device)
    return min(seconds, key=lambda backend: seconds[backend])


def timed(run: Callable[[], object], runs: int, device: str) -> float:
    """Return the seconds of one of several runs in a row, until the device has done all of them."""
    synchronise(device)
    begin = time.perf_counter()
    for _ in range(runs):
        run()
    synchronise(device)
    return (time.perf_counter() - begin) / runs


def synchronise(device: str) -> None:
    """Wait until the device has done what it was given."""
    if device != "cpu":
        torch.cuda.synchronize(device)
