"""What is computed from arrays and in parts, compared with what SentencePiece says of the whole text."""

import numpy as np
import pytest

from bigbird_inference.tokenization import normal_form
from bigbird_inference.tokenization.sentencepiece_vocabulary import SentencePieceVocabulary
from bigbird_inference.tokenization.token_spans import token_spans


def check_consumed(vocabulary: SentencePieceVocabulary, text: str) -> None:
    """Compare the code points that were consumed with each token."""
    expected = vocabulary.processor.encode(text, return_type="offset_mapping")
    ids = np.array(expected["ids"], dtype=np.int64)
    normal = normal_form.normalise(vocabulary.processor, text)
    starts, ends = token_spans(vocabulary.lengths_of(ids, text, normal), normal.offsets)
    assert list(zip(starts.tolist(), ends.tolist(), strict=True)) == [tuple(span) for span in expected["offsets"]]


def check_parts(vocabulary: SentencePieceVocabulary, text: str, size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Compare a normal form made in parts of a size; no rule of the tests' vocabularies has more than 8 code points."""
    monkeypatch.setattr(normal_form, "PART", size)
    monkeypatch.setattr(normal_form, "LONGEST_RULE", 8)
    found = normal_form._normalise_in_parts(vocabulary.processor, text)
    characters, offsets = vocabulary.processor.normalize(text, with_offsets=True)
    assert "".join(map(chr, found.characters.tolist())) == characters
    assert found.offsets.tolist() == list(offsets)
