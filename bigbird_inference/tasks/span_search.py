"""The best answer spans of a document, found without looking at every pair of tokens.

A span's score is the product of its start's and its end's probability. For each start the best end within reach bounds
what that start can give; starts are visited by falling bound until no later one can enter the best `top_k`. The result
is exactly that of comparing all pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigbird_inference.tasks.scores import Float64Array
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText


@dataclass(frozen=True, slots=True)
class CharacterSpan:
    """Code points `[start, end)` of the text, the score of answering with them, and which window that is from."""

    start: int
    end: int
    score: float
    window: int


_Found = tuple[float, int, int, int]
"""-score, start, end, window: sorted, the best comes first."""


@dataclass(frozen=True, slots=True)
class WindowProbabilities:
    """How likely each of a window's text tokens starts and ends the answer.

    Attributes:
        first_token: Index of the window's first token in the whole text.
        starts: float64 `[tokens]`.
        ends: float64 `[tokens]`.
    """

    first_token: int
    starts: Float64Array
    ends: Float64Array


@dataclass(frozen=True, slots=True)
class _Edges:
    """Where a span goes that starts or ends at a token; blank tokens give way to the next visible one inwards.

    All int64 `[tokens]`: `starts` and `ends` are code points, `first_visible` is the first token at or after each
    that has characters of its own.
    """

    starts: Int64Array
    ends: Int64Array
    first_visible: Int64Array

    @classmethod
    def of(cls, tokens: TokenizedText) -> "_Edges":
        size = len(tokens)
        visible = tokens.ends > tokens.starts
        indices = np.where(visible, np.arange(size), size)
        first_visible = np.minimum.accumulate(indices[::-1])[::-1]
        starts = np.append(tokens.starts, tokens.ends[-1])[first_visible]
        ends = np.maximum.accumulate(np.where(visible, tokens.ends, 0))
        return cls(starts, ends, first_visible)


def best_spans(
    tokens: TokenizedText, windows: Sequence[WindowProbabilities], max_tokens: int, top_k: int
) -> list[CharacterSpan]:
    """Return the best spans, best first.

    A span lies inside one window and is at most `max_tokens` long. Of spans with the same characters the best counts;
    equal scores are ordered by start, then by end. No span is empty, or begins or ends with a blank.

    Args:
        tokens: The whole text's tokens.
        windows: The probabilities of each window.
        max_tokens: The longest span in tokens, at least 1.
        top_k: How many spans, at least 1; fewer are returned when there are no more.
    """
    edges = _Edges.of(tokens)
    bounds, windows_of, rows = _start_bounds(edges, windows, max_tokens)
    row_starts = edges.starts[rows]
    best: list[_Found] = []  # sorted, at most top_k
    for index in np.lexsort((row_starts, -bounds)):
        start = int(row_starts[index])
        if len(best) == top_k and best[-1][:2] < (-bounds[index], start):
            break
        number, row = int(windows_of[index]), int(rows[index])
        window = windows[number]
        first = int(edges.first_visible[row])
        stop = min(row + max_tokens, window.first_token + len(window.ends))
        probabilities = window.ends[first - window.first_token : stop - window.first_token]
        scores = window.starts[row - window.first_token] * probabilities
        best = _merge(best, start, edges.ends[first:stop], scores, number, top_k)
    return [CharacterSpan(start, end, -negative, window) for negative, start, end, window in best]


def _start_bounds(
    edges: _Edges, windows: Sequence[WindowProbabilities], max_tokens: int
) -> tuple[Float64Array, Int64Array, Int64Array]:
    """For each possible start: no span from it scores more than this; its window; its token in the whole text."""
    bounds, windows_of, rows = [], [], []
    for number, window in enumerate(windows):
        size = len(window.starts)
        reachable = _maximum_ahead(window.ends, max_tokens)
        indices = window.first_token + np.arange(size)
        last = np.minimum(indices + max_tokens, window.first_token + size)
        possible = edges.first_visible[indices] < last
        bounds.append((window.starts * reachable)[possible])
        windows_of.append(np.full(int(possible.sum()), number))
        rows.append(indices[possible])
    return np.concatenate(bounds), np.concatenate(windows_of), np.concatenate(rows)


def _maximum_ahead(values: Float64Array, width: int) -> Float64Array:
    """For each position the largest of `width` values from there on, by doubling: width 1, 2, 4, ..."""
    width = min(width, len(values))
    result = values.copy()
    reach = 1
    while reach < width:
        step = min(reach, width - reach)
        result[:-step] = np.maximum(result[:-step], result[step:])
        reach += step
    return result


def _merge(
    best: list[_Found], start: int, ends: Int64Array, scores: Float64Array, window: int, top_k: int
) -> list[_Found]:
    """Add one start's spans to the best ones, keep the better of equal spans, and cut to `top_k`."""
    if len(best) == top_k:
        promising = scores >= -best[-1][0]
        ends, scores = ends[promising], scores[promising]
    distinct = {(known_start, end): (negative, source) for negative, known_start, end, source in best}
    added: set[int] = set()
    for index in np.lexsort((ends, -scores)):
        end = int(ends[index])
        if end in added:
            continue
        added.add(end)
        found = (-float(scores[index]), window)
        distinct[start, end] = min(found, distinct.get((start, end), found))
        if len(added) == top_k:
            break
    return sorted((negative, *span, source) for span, (negative, source) in distinct.items())[:top_k]
