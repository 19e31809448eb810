"""The tables that transformers' own code draws in `train()`, for comparison.

Its two drawing functions are those of google-research/bigbird and Model Garden (the golden tables show that for blocks
of 64); which of them a length takes, and for how long a table, is written down here from the references' sources.
"""

import numpy as np
import numpy.typing as npt
import transformers
from transformers.models.big_bird.modeling_big_bird import BigBirdBlockSparseAttention

Table = npt.NDArray[np.int64]

_LISTED_LENGTHS = {
    "transformers-train": (1024, 3072, 4096),
    "google": (1024, 2048, 3072, 4096),
    "model-garden": None,
}


def reference_table(
    pattern: str, layer: int, *, blocks: int, heads: int, slots: int, block_size: int, max_position_embeddings: int
) -> Table:
    """Return the table of a document of so many blocks, `[heads, blocks - 2, slots]`.

    Raises:
        ValueError: transformers cannot draw it.
    """
    attention = BigBirdBlockSparseAttention(
        transformers.BigBirdConfig(
            hidden_size=heads,
            num_attention_heads=heads,
            num_random_blocks=slots,
            block_size=block_size,
            max_position_embeddings=max_position_embeddings,
        ),
        seed=layer,
    ).train()
    listed = _LISTED_LENGTHS[pattern]
    length = blocks * block_size
    state = np.random.get_state()
    np.random.seed(layer)
    try:
        if listed is None or length in listed:
            longest = 4096 if pattern == "google" else max_position_embeddings
            drawn = [
                attention._bigbird_block_rand_mask(longest, longest, block_size, block_size, slots, last_idx=1024)
                for _ in range(heads)
            ]
        else:
            lengths, counts = attention._get_rand_attn_plan(length, block_size, slots)
            drawn = attention._bigbird_block_rand_mask_with_head(
                length, length, block_size, block_size, heads, lengths, counts
            )
    finally:
        np.random.set_state(state)
    return np.stack(drawn)[:, : blocks - 2].astype(np.int64)
