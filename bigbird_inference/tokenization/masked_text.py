"""A text with holes in it: the one place where a string of a request becomes a special token.

What stands between the masks is data as everywhere else. Each part is tokenised on its own, and the white space before
a mask belongs to the mask: that is what transformers' tokenizers of BigBird do (`AddedToken("[MASK]", lstrip=True)`),
unless the checkpoint's own says otherwise.
"""

from collections.abc import Iterator

import numpy as np

from bigbird_inference.tokenization.added_tokens import WHITE_SPACE
from bigbird_inference.tokenization.encoded import TokenizedText
from bigbird_inference.tokenization.tokenizer import Tokenizer


def tokenize_masked(tokenizer: Tokenizer, text: str, mask: str, mask_id: int) -> TokenizedText:
    """Tokenise a text in which every occurrence of a string is the mask token.

    Occurrences are found from the left and do not overlap. A mask's span is that string; no other token has the mask's
    id.

    Args:
        tokenizer: Tokenises what stands between the masks, and says whether they take the white space before them.
        text: The whole text.
        mask: The string, not empty.
        mask_id: The id that stands for it.

    Raises:
        InvalidInput: The text is not Unicode.
    """
    ids, starts, ends = [], [], []
    after_mask = 0
    for start, end in [*_occurrences(text, mask), (len(text), None)]:
        part = text[after_mask:start]
        if end is not None and tokenizer.mask_lstrip:
            part = part.rstrip(WHITE_SPACE)
        tokens = tokenizer.tokenize(part, before_token=end is not None)
        ids.append(tokens.ids)
        starts.append(tokens.starts + after_mask)
        ends.append(tokens.ends + after_mask)
        if end is not None:
            ids.append(np.array([mask_id]))
            starts.append(np.array([start]))
            ends.append(np.array([end]))
            after_mask = end
    return TokenizedText(
        np.concatenate(ids).astype(np.int64),
        np.concatenate(starts).astype(np.int64),
        np.concatenate(ends).astype(np.int64),
    )


def _occurrences(text: str, mask: str) -> Iterator[tuple[int, int]]:
    start = text.find(mask)
    while start >= 0:
        yield start, start + len(mask)
        start = text.find(mask, start + len(mask))
