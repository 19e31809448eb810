"""Sections between added tokens are cut as SentencePiece cuts them alone, and places mean the whole text."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.manifest import AddedToken
from bigbird_inference.tokenization.masked_text import tokenize_masked
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents

FIRST = 600
WORDS = ["Borealis", "\n", "北京", "é", "[SEP]", " x ", "office"]
ADDED = [
    *(AddedToken(word, FIRST + place, lstrip=place % 2 == 0) for place, word in enumerate(WORDS)),
    AddedToken("<ent>", FIRST + len(WORDS), special=True),
]


def extended(tokenizer: Tokenizer, added: list[AddedToken], *, mask_lstrip: bool = True) -> Tokenizer:
    own = tokenizer
    return Tokenizer(
        own.model_file, own.cls_id, own.sep_id, own.pad_id, own.mask_id, mask_lstrip=mask_lstrip, added_tokens=added
    ).load()


@given(parts=st.lists(st.one_of(documents, st.sampled_from([*WORDS, "<ent>", " ", "  "])), max_size=8))
def test_places_of_any_document_mean_its_characters(any_tokenizer: Tokenizer, parts: list[str]) -> None:
    text = "".join(parts)
    tokens = extended(any_tokenizer, ADDED).tokenize(text)
    spans = list(zip(tokens.ids.tolist(), tokens.starts.tolist(), tokens.ends.tolist(), strict=True))
    for (_, start, end), (_, later_start, later_end) in itertools.pairwise(spans):
        assert start <= later_start and end <= later_end
    for token_id, start, end in spans:
        assert 0 <= start <= end <= len(text)
        assert text[start:end] == text[start:end].strip()
        if token_id >= FIRST:
            assert text[start:end] == WORDS[token_id - FIRST].strip()
    plain = any_tokenizer.tokenize_without_positions(text)
    if not any(word in text for word in WORDS):
        assert tokens.ids.tolist() == plain.ids.tolist()
    assert tokens.ids.tolist() == extended(any_tokenizer, ADDED).tokenize_without_positions(text).ids.tolist()


def test_a_text_without_them_is_tokenised_as_ever(any_tokenizer: Tokenizer) -> None:
    text = "Zürich, naïve caf\u0301e  ½ 東京 😀 <ent> \u00a0x"
    plain, found = any_tokenizer.tokenize(text), extended(any_tokenizer, ADDED).tokenize(text)
    for own, other in ((found.ids, plain.ids), (found.starts, plain.starts), (found.ends, plain.ends)):
        assert own.tolist() == other.tolist()


def test_sections_are_cut_alone_and_the_space_before_a_token_is_a_piece(tokenizer: Tokenizer) -> None:
    space = tokenizer.vocabulary.ids("x").tolist()[0]
    assert tokenizer.vocabulary.token_text(space) == ""
    both = [AddedToken("KW", FIRST), AddedToken("KL", FIRST + 1, lstrip=True)]
    text = " the  KW project KL\u00a0KL of  "
    found = extended(tokenizer, both).tokenize(text)
    cut = [tokenizer.vocabulary.ids(part).tolist() for part in ("the", " project", " of")]
    assert found.ids.tolist() == [*cut[0], space, FIRST, *cut[1], FIRST + 1, FIRST + 1, *cut[2]]
    spans = [text[start:end] for start, end in zip(found.starts, found.ends, strict=True)]
    assert [span for span in spans if "K" in span] == ["KW", "KL", "KL"]
    assert "".join(spans) == "theKWprojectKLKLof"


def test_the_mask_leaves_the_space_before_it_where_the_checkpoint_says_so(tokenizer: Tokenizer) -> None:
    mask_id = tokenizer.mask_id or 0
    space = tokenizer.vocabulary.ids("x").tolist()[0]
    keeping = extended(tokenizer, [], mask_lstrip=False)
    the, project = (tokenizer.vocabulary.ids(part).tolist() for part in ("the", " project"))
    text = "the  [MASK] project [MASK][MASK]"
    assert tokenize_masked(tokenizer, text, "[MASK]", mask_id).ids.tolist() == [
        *the, mask_id, *project, mask_id, mask_id
    ]  # fmt: skip
    found = tokenize_masked(keeping, text, "[MASK]", mask_id)
    assert found.ids.tolist() == [*the, space, mask_id, *project, space, mask_id, mask_id]
    assert [text[start:end] for start, end in zip(found.starts, found.ends, strict=True) if start < end][-1] == "[MASK]"
    assert found.starts[len(the)] == found.ends[len(the)] == 5


def test_added_tokens_stand_around_masks(tokenizer: Tokenizer) -> None:
    mask_id = tokenizer.mask_id or 0
    found = tokenize_masked(extended(tokenizer, ADDED), "Borealis [MASK] Borealis", "[MASK]", mask_id)
    assert found.ids.tolist() == [FIRST, mask_id, FIRST]


def test_names_and_texts_of_added_tokens(tokenizer: Tokenizer) -> None:
    vocabulary = extended(tokenizer, ADDED).vocabulary
    special = FIRST + len(WORDS)
    assert len(vocabulary) == special + 1
    assert [vocabulary.token_text(token_id) for token_id in (FIRST, special, FIRST - 1)] == ["Borealis", "<ent>", ""]
    assert vocabulary.begins_word(FIRST) and not vocabulary.begins_word(FIRST - 1)
    assert vocabulary.visible[FIRST] and not vocabulary.visible[special] and not vocabulary.visible[FIRST + 1]
    assert set(vocabulary.ordinary) == {*tokenizer.vocabulary.ordinary, *range(FIRST, special)}
    project, of = tokenizer.vocabulary.ids("project"), tokenizer.vocabulary.ids("of")
    generated = np.array([*project, FIRST, special, *of])
    assert vocabulary.text_after(np.empty(0, dtype=np.int64), generated) == "project Borealis of"
    assert vocabulary.text_after(np.array([FIRST]), generated) == " project Borealis of"


def test_a_text_that_could_hold_a_special_id_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(BundleError, match=r"'Borealis' \(id 2\) is the sep token, but a text can contain it"):
        extended(tokenizer, [AddedToken("Borealis", 2)])
    with pytest.raises(BundleError, match="mask_id is 700"):
        Tokenizer(tokenizer.model_file, 1, 2, 0, 700, added_tokens=ADDED).load()
    own = Tokenizer(tokenizer.model_file, FIRST + len(WORDS), 2, 0, 3, added_tokens=ADDED).load()
    assert own.cls_id not in own.tokenize("a <ent> b").ids


def test_a_lone_surrogate_is_refused(tokenizer: Tokenizer) -> None:
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        extended(tokenizer, ADDED).tokenize("Borealis \ud800")
