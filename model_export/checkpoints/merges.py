"""Scores of a SentencePiece BPE model from the ordered merges of a `tokenizer.json`.

`tokenizers` joins the pair that stands first in a list; SentencePiece joins the two neighbours whose joined piece has
the highest score, whichever two they are. Both do the same if every way to put a piece together is in the list, and
the ways of one piece follow one another: then a piece's place in the list is its score.
"""

from collections.abc import Sequence

from model_export.checkpoints.typed_fields import Unusable, items, string


def scores_of_merges(merges: Sequence[object], pieces: set[str]) -> dict[str, float]:
    """Return the score of every piece that a merge makes: 0, -1, -2, ... in the order of the merges.

    Args:
        merges: Pairs, or strings of two pieces with a space between.
        pieces: The vocabulary without added tokens.

    Raises:
        Unusable: A merge is no pair of pieces, or the list is one that scores cannot express.
    """
    pairs: set[tuple[str, str]] = set()
    scores: dict[str, float] = {}
    newest = None
    for index, entry in enumerate(merges):
        where = f"model.merges[{index}]"
        left, right = _pair(entry, where)
        joined = left + right
        if not {left, right, joined} <= pieces:
            raise Unusable(f"{where}: {left[:40]!r} and {right[:40]!r} are not pieces that make a piece")
        if joined in scores and joined != newest:
            raise Unusable(f"{where}: {joined[:40]!r} is made at two places of the list; SentencePiece has one score")
        scores.setdefault(joined, -float(len(scores)))
        newest = joined
        pairs.add((left, right))
    for joined in pieces:
        for cut in range(1, len(joined)):
            left, right = joined[:cut], joined[cut:]
            if left in pieces and right in pieces and (left, right) not in pairs:
                raise Unusable(f"model.merges: lacks {left[:40]!r} with {right[:40]!r}, which SentencePiece would join")
    return scores


def _pair(entry: object, where: str) -> tuple[str, str]:
    parts = entry.split(" ") if isinstance(entry, str) else items(entry, where)
    if len(parts) != 2:
        raise Unusable(f"{where}: is not a pair")
    return string(parts[0], where), string(parts[1], where)
