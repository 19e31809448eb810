"""Token scores to entities: the five aggregation strategies.

`none` labels tokens; `simple` joins neighbouring tokens; `first`, `average` and `max` first give every word one label,
so that no entity begins or ends inside a word, and then join words. They mean what they mean in the token
classification pipeline of transformers, with five differences: any whitespace separates words, not the space alone; no
entity goes on across an empty line or from one column to the next; pieces of one character never belong to different
words; a token that is only whitespace is passed over; and for a model that is told the case of words, punctuation
separates words, too, so that of "Paris." or "Paris's" the place is "Paris", but "p.m.", "U.S.", "2004-04-17" and
"$5,000.50" are words, `average` is of types ("B-PER" and "I-PER" together), and what holds neither letter nor digit is
no entity.

What labels say about where an entity begins and ends is in `label_scheme.py`.
"""

import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from bigbird_inference.tasks.label_scheme import OUTSIDE, LabelScheme
from bigbird_inference.tasks.offset_units import End, Start
from bigbird_inference.tasks.scores import Float64Array
from bigbird_inference.tokenization.encoded import Int64Array, TokenizedText
from bigbird_inference.tokenization.letter_case import is_in_word

# "p.m.", "U.S.", "T.J": single letters with full stops between them, and perhaps one at the end.
_DOTTED_LETTERS = r"(?<![\w.])[^\W\d_](?:\.[^\W\d_])+(?!\w)(?:\.(?!\w))?"
# "$5,000.50", "11.1%", "2004-04-17", "10:30".
_NUMBER = r"[$£€¥₹]?\d+(?:[.,:/\-\u2013]\d+)*[%‰]?"
_WORD_WITH_SIGNS = re.compile(rf"{_DOTTED_LETTERS}|{_NUMBER}")
# An empty line, or what stands between the columns of a table: a tab or three spaces, but not as an indentation.
_GAP = re.compile(r"\n[^\S\n]*\r?\n|\r\r|\u2029|(?: (?<=\S )(?:  | ?\t)|\t(?<=\S\t))[ \t]*+(?=\S)")


Aggregation = Literal["none", "simple", "first", "average", "max"]


@dataclass(frozen=True, slots=True)
class Entity:
    """An entity: `text` is exactly the document's `[start:end]`.

    `entity` is its type, or with the aggregation `none` the token's label.
    """

    entity: str
    text: str
    start: Start
    end: End
    score: float


@dataclass(frozen=True, slots=True)
class _Labelled:
    """A run of units (tokens or words) with one label each; all arrays are `[units]`."""

    label_ids: Int64Array
    scores: Float64Array
    starts: Int64Array
    ends: Int64Array


def word_starts(
    text: str, tokens: TokenizedText, unk_id: int, *, punctuation_parts: bool = False
) -> npt.NDArray[np.bool_]:
    """Tell for each token whether it begins a word, bool `[tokens]`; the tokens must have characters of their own.

    A word begins at the first token, after whitespace, and with an unknown piece (transformers' rule). Where
    `punctuation_parts`, each token that begins with punctuation or a sign begins a word, and so does the one after it;
    single letters with full stops between them are one word, and so is a number with what stands between its digits and
    the sign of a currency or of percent at it.
    """
    positions = np.unique(tokens.starts)
    free = {int(position): position == 0 or text[position - 1].isspace() for position in positions}
    begins = np.array([free[int(start)] for start in tokens.starts], dtype=np.bool_)
    begins |= tokens.ids == unk_id
    if punctuation_parts:
        begins |= np.array([not is_in_word(text[start]) for start in tokens.starts.tolist()], dtype=np.bool_)
        begins[1:] |= np.array([not is_in_word(text[end - 1]) for end in tokens.ends[:-1].tolist()], dtype=np.bool_)
        goes_on = np.zeros(len(text) + 1, dtype=np.bool_)
        for word in _WORD_WITH_SIGNS.finditer(text):
            goes_on[word.start() + 1 : word.end()] = True
        begins &= ~goes_on[tokens.starts]
    begins[1:] &= tokens.starts[1:] >= tokens.ends[:-1]
    begins[:1] = True
    return begins


def group_entities(
    text: str,
    tokens: TokenizedText,
    scores: Float64Array,
    scheme: LabelScheme,
    aggregation: Aggregation,
    unk_id: int,
    ignored: Collection[str] = (OUTSIDE,),
    *,
    punctuation_parts: bool = False,
) -> list[Entity]:
    """Turn each token's label probabilities into entities, in the order of the text.

    Args:
        text: The document.
        tokens: Its tokens; those without characters of their own (a lone space) are passed over.
        scores: Probabilities, float64 `[tokens, labels]`.
        scheme: What the labels mean.
        aggregation: The strategy.
        unk_id: The vocabulary's unknown piece.
        ignored: Names of entity types, or with the strategy `none` of labels, that are left out.
        punctuation_parts: Whether punctuation separates words; then `average` is of types, and punctuation alone is no
            entity.
    """
    visible = tokens.ends > tokens.starts
    tokens = TokenizedText(tokens.ids[visible], tokens.starts[visible], tokens.ends[visible])
    scores = scores[visible]
    if aggregation in ("none", "simple"):
        labels = scores.argmax(axis=1)
        labelled = _Labelled(labels, scores[np.arange(len(labels)), labels], tokens.starts, tokens.ends)
    else:
        begins = word_starts(text, tokens, unk_id, punctuation_parts=punctuation_parts)
        by_type = scheme if punctuation_parts and aggregation == "average" else None
        labelled = _label_words(tokens, scores, np.flatnonzero(begins), aggregation, by_type)
    units = labelled if aggregation == "none" else _join(text, labelled, scheme)
    names = scheme.labels if aggregation == "none" else [scheme.entities[entity] for entity in scheme.entity_of]
    return [
        Entity(names[label], text[start:end], start, end, score)
        for label, start, end, score in zip(
            units.label_ids.tolist(), units.starts.tolist(), units.ends.tolist(), units.scores.tolist(), strict=True
        )
        if names[label] not in ignored
        and not (punctuation_parts and aggregation != "none" and not any(map(is_in_word, text[start:end])))
    ]


def _label_words(
    tokens: TokenizedText,
    scores: Float64Array,
    firsts: Int64Array,
    aggregation: Aggregation,
    by_type: LabelScheme | None,
) -> _Labelled:
    """Give each word, from one of `firsts` to before the next, one label and score: of its likeliest label, or type."""
    counts = np.diff(np.append(firsts, len(tokens)))
    if aggregation == "average":
        words = np.add.reduceat(scores, firsts, axis=0) / counts[:, None]
    elif aggregation == "max":
        words = scores[_strongest(scores.max(axis=1), firsts, counts)]
    else:
        words = scores[firsts]
    if by_type is None:
        labels, strengths = words.argmax(axis=1), words.max(axis=1)
    else:
        labels, strengths = _likeliest_types(words, by_type)
    return _Labelled(labels, strengths, tokens.starts[firsts], tokens.ends[firsts + counts - 1])


def _likeliest_types(words: Float64Array, scheme: LabelScheme) -> tuple[Int64Array, Float64Array]:
    """Return of each word, `[words, labels]`, the likeliest label of the likeliest type, and the type's probability.

    Of "12%", the first token begins a percentage and the second one goes on with it: apart, each label would have half
    of the word, and "O" could have more than either.
    """
    types = np.stack(
        [words[:, scheme.entity_of == entity].sum(axis=1) for entity in range(len(scheme.entities))], axis=1
    )
    own = scheme.entity_of == types.argmax(axis=1)[:, None]
    return np.where(own, words, -1.0).argmax(axis=1), types.max(axis=1)


def _strongest(strengths: Float64Array, firsts: Int64Array, counts: Int64Array) -> Int64Array:
    """For each word the index of its token with the largest value, the first of equal ones."""
    largest = np.repeat(np.maximum.reduceat(strengths, firsts), counts)
    candidates = np.flatnonzero(strengths == largest)
    words = np.repeat(np.arange(len(firsts)), counts)[candidates]
    _, first_candidates = np.unique(words, return_index=True)
    return np.asarray(candidates[first_candidates], dtype=np.int64)


def _join(text: str, units: _Labelled, scheme: LabelScheme) -> _Labelled:
    """Join neighbouring units of one entity type, but not across an empty line or from one column to the next.

    The score of a group is the mean of its units' scores.
    """
    labels = units.label_ids
    firsts = np.flatnonzero(scheme.begins(labels) | _after_gap(text, units))
    counts = np.diff(np.append(firsts, len(labels)))
    means = np.add.reduceat(units.scores, firsts) / counts
    return _Labelled(labels[firsts], means, units.starts[firsts], units.ends[firsts + counts - 1])


def _after_gap(text: str, units: _Labelled) -> npt.NDArray[np.bool_]:
    """Tell before which units an empty line or the gap between two columns stands, bool `[units]`."""
    gaps = np.array([gap.start() for gap in _GAP.finditer(text)], dtype=np.int64)
    after = np.zeros(len(units.starts) + 1, dtype=np.bool_)
    after[np.searchsorted(units.starts, gaps)] = True
    return after[:-1]
