"""The documents that the GPU benchmark runs."""

import numpy as np

from bigbird_inference.runtime.session import Batch

# The first documents of a length, whose logits are compared.
COMPARED_DOCUMENTS = 2

# Plain pieces: control tokens have smaller ids, and every vocabulary here has more.
_TOKEN_IDS = (200, 6_000)


def filled_batch(documents: int, length: int) -> Batch:
    """Return random documents that fill the length; the first are the same in every batch."""
    ids = np.stack(
        [np.random.default_rng([number, length]).integers(*_TOKEN_IDS, length) for number in range(documents)]
    )
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
