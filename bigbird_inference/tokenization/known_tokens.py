"""The text of a bundle's known answer, tokenised again on the machine that serves.

The tokenizer's file has its hash; the SentencePiece that reads it has none. Another build may normalise or cut a text
differently, and then every answer is a little wrong and every position may be.
"""

from collections.abc import Sequence

from bigbird_inference.errors import BundleError


def check_known_tokens(expected: Sequence[int], found: Sequence[int]) -> None:
    """Compare the tokens of a text with those that it had at export.

    Raises:
        BundleError: They differ; the message names the first that does.
    """
    if list(expected) == list(found):
        return
    pairs = enumerate(zip(expected, found, strict=False))
    shorter = min(len(expected), len(found))
    place = next((place for place, (wanted, actual) in pairs if wanted != actual), shorter)
    wanted, actual = (ids[place] if place < len(ids) else "none" for ids in (expected, found))
    raise BundleError(
        f"the text of the known answer is not tokenised as at export: token {place} is {actual}, expected {wanted}; "
        "this SentencePiece does something else"
    )
