"""Logits to scores, in double precision."""

import numpy as np
import numpy.typing as npt

Float64Array = npt.NDArray[np.float64]


def softmax(logits: npt.NDArray[np.floating]) -> Float64Array:
    """Return the softmax over the last axis."""
    # Where a handful of labels stands beside thousands of tokens, numpy is quick if each label's scores lie together.
    narrow = logits.ndim > 1 and logits.shape[-1] < logits.shape[-2]
    values = logits.astype(np.float64, order="F" if narrow else "C")
    exponentials = np.exp(values - values.max(axis=-1, keepdims=True))
    return np.asarray(exponentials / exponentials.sum(axis=-1, keepdims=True), dtype=np.float64)


def sigmoid(logits: npt.NDArray[np.floating]) -> Float64Array:
    """Return the logistic function of each value; large negative values do not overflow."""
    return np.exp(-np.logaddexp(0.0, -logits.astype(np.float64)))
