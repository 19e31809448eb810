"""The documents that the models run: random ids, the same for every contender."""

from collections.abc import Iterable

import numpy as np

from bigbird_inference.runtime.session import Batch

# Plain pieces: control tokens have smaller ids.
_TOKEN_IDS = (200, 50_358)


def random_batch(numbers: Iterable[int], length: int) -> Batch:
    """Return the documents of these numbers; each fills the length."""
    ids = np.stack([np.random.default_rng([number, length]).integers(*_TOKEN_IDS, length) for number in numbers])
    return Batch(input_ids=ids, attention_mask=np.ones_like(ids), token_type_ids=np.zeros_like(ids))
