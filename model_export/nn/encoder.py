"""The stack of layers, and the choice between full and block-sparse attention."""

import torch
from torch import nn

from model_export.config import BigBirdConfig
from model_export.nn.activations import get_activation
from model_export.nn.attention import AttentionKernel, AttentionLayout
from model_export.nn.block_sparse_attention import ComposedAttention, chosen_table
from model_export.nn.number_format import in_format_of
from model_export.patterns.pattern import Pattern, RandomBlocks


class FeedForward(nn.Module):
    """Two linear maps around an activation, with a residual connection and a LayerNorm after it."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.widen = nn.Linear(config.hidden_size, config.intermediate_size)
        self.activation = get_activation(config.hidden_act)
        self.narrow = nn.Linear(config.intermediate_size, config.hidden_size)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.norm = nn.LayerNorm(config.hidden_size, eps=config.layer_norm_eps)

    def forward(self, hidden: torch.Tensor, residual: torch.Tensor | None = None) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape; `residual` is the input unless another is given."""
        widened = self.activation(self.widen(in_format_of(self.widen.weight, hidden)))
        narrowed = self.dropout(self.narrow(widened))
        normalised: torch.Tensor = self.norm(narrowed + (hidden if residual is None else residual))
        return normalised


class SelfAttention(nn.Module):
    """Multi-head attention with output projection, residual connection and LayerNorm."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        hidden = config.hidden_size
        self.heads, self.head_dim = config.num_attention_heads, config.head_dim
        self.query = nn.Linear(hidden, hidden, bias=config.use_bias)
        self.key = nn.Linear(hidden, hidden, bias=config.use_bias)
        self.value = nn.Linear(hidden, hidden, bias=config.use_bias)
        self.output = nn.Linear(hidden, hidden)
        self.norm = nn.LayerNorm(hidden, eps=config.layer_norm_eps)
        self.dropout = nn.Dropout(config.hidden_dropout_prob)
        self.weight_dropout = nn.Dropout(config.attention_probs_dropout_prob)

    def forward(self, hidden: torch.Tensor, layout: AttentionLayout) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape."""
        states = in_format_of(self.query.weight, hidden)
        context = layout.attend(
            self.query(states), self.key(states), self.value(states), self.heads, self.weight_dropout
        )
        normalised: torch.Tensor = self.norm(self.dropout(self.output(context)) + hidden)
        return normalised


class Layer(nn.Module):
    """Attention, then feed-forward."""

    def __init__(self, config: BigBirdConfig) -> None:
        super().__init__()
        self.attention = SelfAttention(config)
        self.feed_forward = FeedForward(config)

    def forward(self, hidden: torch.Tensor, layout: AttentionLayout) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape."""
        mapped: torch.Tensor = self.feed_forward(self.attention(hidden, layout))
        return mapped


class Encoder(nn.Module):
    """All layers. Padded lengths up to the full-attention edge use full attention, longer ones block-sparse.

    A batch must not mix documents of the two kinds: its padded length decides for all of them.

    Attributes:
        kernel: How attention is computed; it may be exchanged.
    """

    def __init__(self, config: BigBirdConfig, pattern: Pattern) -> None:
        super().__init__()
        self.config = config
        self.kernel: AttentionKernel = ComposedAttention()
        self.layers = nn.ModuleList(Layer(config) for _ in range(config.num_hidden_layers))
        self.random_blocks = self._draw(pattern)

    def _draw(self, pattern: Pattern) -> list[RandomBlocks]:
        config = self.config
        if config.full_attention_edge == config.max_length:
            return []
        return [
            pattern.random_blocks(
                layer,
                heads=config.num_attention_heads,
                slots=config.num_random_blocks,
                block_size=config.block_size,
                max_position_embeddings=config.max_position_embeddings,
            )
            for layer in range(config.num_hidden_layers)
        ]

    def forward(self, hidden: torch.Tensor, attention_mask: torch.Tensor) -> torch.Tensor:
        """Map `[batch, length, hidden]` to the same shape.

        Args:
            hidden: Embedded tokens.
            attention_mask: int64 `[batch, length]`, 1 on real tokens, padding on the right.
        """
        # Padding becomes, and through all layers stays, a copy of the document's first token: it cannot widen the range
        # that int8 products measure on a whole activation, and so cannot change a document's numbers there either.
        hidden = torch.where(attention_mask[..., None].bool(), hidden, hidden[:, :1])
        for layer, layout in zip(self.layers, self._layouts(attention_mask, hidden.dtype), strict=True):
            hidden = layer(hidden, layout)
        return hidden

    def _layouts(self, attention_mask: torch.Tensor, dtype: torch.dtype) -> list[AttentionLayout]:
        """Return each layer's layout; layers with the same random blocks share one."""
        length = attention_mask.shape[1]
        edge, block_size = self.config.full_attention_edge, self.config.block_size
        if length <= edge:
            return [self.kernel.full(attention_mask, dtype, causal=self.config.is_decoder)] * len(self.layers)
        if length > self.config.max_length or length % block_size:
            raise ValueError(f"length {length} is not whole blocks of {block_size} up to {self.config.max_length}")
        slots = self.kernel.block_sparse(attention_mask, block_size, dtype)
        distinct = {id(blocks): blocks for blocks in self.random_blocks}
        layouts = {
            key: slots.layout(
                chosen_table(blocks, slots.document_blocks, length // block_size), blocks.first_block_copies
            )
            for key, blocks in distinct.items()
        }
        return [layouts[id(blocks)] for blocks in self.random_blocks]
