"""One row of logits for each token of a text, out of windows that overlap."""

from collections.abc import Sequence

import numpy as np

from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tokenization.encoded import Int64Array, Window


def merge_token_logits(windows: Sequence[Window], logits: Sequence[Float32Array], token_count: int) -> Float32Array:
    """Take each token from the window in which it is farthest from a cut edge.

    Where the text itself begins or ends, the window is not cut. Of equally good windows the earlier one is taken.

    Args:
        windows: In the order of the text; together they hold every token.
        logits: For each window float32 `[length, labels]`, special tokens included.
        token_count: Tokens of the whole text.

    Returns:
        float32 `[token_count, labels]`.
    """
    if len(windows) == 1:
        return logits[0][windows[0].text_offset : windows[0].text_offset + token_count]
    merged = np.zeros((token_count, logits[0].shape[1]), dtype=np.float32)
    sources = token_sources(windows, token_count)
    for number, (window, array) in enumerate(zip(windows, logits, strict=True)):
        stop = window.first_token + window.token_count
        taken = sources[window.first_token : stop] == number
        own = array[window.text_offset : window.text_offset + window.token_count]
        merged[window.first_token : stop][taken] = own[taken]
    return merged


def token_sources(windows: Sequence[Window], token_count: int) -> Int64Array:
    """Return which window each token is taken from, int64 `[token_count]`; the arguments are the same.

    Each window's own tokens are neighbours: the farther along in the text, the later the window.
    """
    sources = np.zeros(token_count, dtype=np.int64)
    farthest = np.full(token_count, -1, dtype=np.int64)
    uncut = np.iinfo(np.int64).max
    for number, window in enumerate(windows):
        stop = window.first_token + window.token_count
        inside = np.arange(window.token_count)
        from_left = inside if window.first_token > 0 else np.full_like(inside, uncut)
        from_right = inside[::-1] if stop < token_count else np.full_like(inside, uncut)
        distance = np.minimum(from_left, from_right)
        better = distance > farthest[window.first_token : stop]
        farthest[window.first_token : stop][better] = distance[better]
        sources[window.first_token : stop][better] = number
    return sources
