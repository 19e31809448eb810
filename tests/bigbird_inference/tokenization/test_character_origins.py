"""What is foretold of a normal form is what SentencePiece says, or nothing."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbird_inference.tokenization.normal_form import NormalForm, code_points
from bigbird_inference.tokenization.sentencepiece_vocabulary import SentencePieceVocabulary
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.vocabularies import train_vocabulary

spaces = st.lists(st.sampled_from(["a", "½", "\u00ad", " ", "\u3000", "\t", "\u2581"]), max_size=8).map("".join)


def foretold(vocabulary: SentencePieceVocabulary, text: str) -> NormalForm | None:
    if vocabulary.origins is None:
        return None
    return vocabulary.origins.find(text, code_points(vocabulary.processor.normalize(text)))


def check(vocabulary: SentencePieceVocabulary, text: str) -> None:
    found = foretold(vocabulary, text)
    if found is not None:
        characters, offsets = vocabulary.processor.normalize(text, with_offsets=True)
        assert "".join(map(chr, found.characters.tolist())) == characters
        assert found.offsets.tolist() == list(offsets)


@settings(max_examples=500)
@given(text=documents | spaces)
def test_origins_are_those_that_sentencepiece_tells(any_tokenizer: Tokenizer, text: str) -> None:
    check(any_tokenizer.vocabulary, text)


@pytest.fixture(scope="module", params=[True, False], ids=["a space before a text", "no space before a text"])
def keeping_spaces(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> SentencePieceVocabulary:
    prefix = tmp_path_factory.mktemp("spaces") / "spaces"
    options = {"remove_extra_whitespaces": False, "add_dummy_prefix": request.param}
    return SentencePieceVocabulary.load(train_vocabulary(prefix, vocab_size=400, **options))


@settings(max_examples=300)
@given(text=documents | spaces)
def test_origins_are_those_that_sentencepiece_tells_where_spaces_are_kept(
    keeping_spaces: SentencePieceVocabulary, text: str
) -> None:
    check(keeping_spaces, text)


@pytest.mark.parametrize(
    "text",
    ["Where is  the office?\n", "  Zürich, 2½ km…", "東京 and 北京", "ﬁve \u00adeuros \u200b"],
    ids=["plain", "one character that becomes several", "ideographs", "characters that are dropped"],
)
def test_most_texts_are_foretold(tokenizer: Tokenizer, text: str) -> None:
    assert foretold(tokenizer.vocabulary, text) is not None


@pytest.mark.parametrize("text", ["e\u0301", "ﾊﾞ", "\u1100\u1161"], ids=["an accent", "a voiced mark", "a syllable"])
def test_characters_that_are_composed_are_left_to_sentencepiece(tokenizer: Tokenizer, text: str) -> None:
    assert foretold(tokenizer.vocabulary, text) is None
