"""A model file that would let a text steer the model, or cannot be read, stops start-up."""

from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.errors import BundleError
from bigbird_inference.tokenization.tokenizer import Tokenizer


def test_user_defined_special_pieces_are_refused(user_defined_vocabulary: Path) -> None:
    tokenizer = Tokenizer(user_defined_vocabulary, cls_id=1, sep_id=2, pad_id=0)
    with pytest.raises(BundleError, match=r"user_defined\.model: the piece .* a text can contain it"):
        tokenizer.load()


def test_an_ordinary_piece_as_special_token_is_refused(control_vocabulary: Path) -> None:
    with pytest.raises(BundleError, match="is the mask token, but a text can contain it"):
        Tokenizer(control_vocabulary, cls_id=1, sep_id=2, pad_id=0, mask_id=300).load()


def test_the_unknown_piece_as_special_token_is_refused(control_vocabulary: Path) -> None:
    with pytest.raises(BundleError, match="is the sep token, but a text can contain it"):
        Tokenizer(control_vocabulary, cls_id=1, sep_id=4, pad_id=0).load()


def test_padding_may_be_any_piece_because_it_is_masked_by_position(control_vocabulary: Path) -> None:
    tokenizer = Tokenizer(control_vocabulary, cls_id=1, sep_id=2, pad_id=4).load()
    assert len(tokenizer.tokenize("a word")) > 0


def test_ids_outside_the_vocabulary_are_refused(control_vocabulary: Path) -> None:
    with pytest.raises(BundleError, match=r"sep_id is 100000, but the vocabulary holds \d+ pieces"):
        Tokenizer(control_vocabulary, cls_id=1, sep_id=100_000, pad_id=0).load()


def test_one_id_for_two_roles_is_refused(control_vocabulary: Path) -> None:
    with pytest.raises(BundleError, match="share an id"):
        Tokenizer(control_vocabulary, cls_id=1, sep_id=1, pad_id=0).load()


@pytest.mark.parametrize("contents", [b"", b"not a model", None], ids=["empty", "garbage", "missing"])
def test_an_unreadable_file_is_named(tmp_path: Path, contents: bytes | None) -> None:
    path = tmp_path / "tokenizer.model"
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(BundleError, match=r"tokenizer\.model: (cannot be read|missing)"):
        Tokenizer(path, cls_id=1, sep_id=2, pad_id=0).load()


def test_a_giant_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "tokenizer.model"
    with path.open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(BundleError, match=r"tokenizer\.model: is larger than 67108864 bytes"):
        Tokenizer(path, cls_id=1, sep_id=2, pad_id=0).load()


def test_constructing_reads_nothing(tmp_path: Path) -> None:
    Tokenizer(tmp_path / "not there yet", cls_id=1, sep_id=2, pad_id=0)


def token_id(tokenizer: Tokenizer, piece: str) -> int:
    return int(tokenizer.vocabulary.processor.piece_to_id(piece))


@pytest.mark.parametrize(
    ("piece", "expected"),
    [("\u2581project", "project"), ("<0x41>", "A"), ("<0xE2>", "\ufffd"), ("[SEP]", "[SEP]"), ("\u2581", "")],
    ids=["a word", "a byte that is a character", "a byte of several", "a special piece", "a space alone"],
)
def test_a_token_alone_reads_as_its_piece_without_spaces(tokenizer: Tokenizer, piece: str, expected: str) -> None:
    assert tokenizer.vocabulary.token_text(token_id(tokenizer, piece)) == expected


def test_an_id_without_a_piece_reads_as_nothing(tokenizer: Tokenizer) -> None:
    vocabulary = tokenizer.vocabulary
    assert vocabulary.token_text(len(vocabulary)) == ""
    assert not vocabulary.begins_word(len(vocabulary))
    assert vocabulary.text_after(tokenizer.tokenize("project").ids, np.array([len(vocabulary)])) == ""


def test_a_word_begins_with_a_space_and_its_other_pieces_do_not(tokenizer: Tokenizer) -> None:
    assert tokenizer.vocabulary.begins_word(token_id(tokenizer, "\u2581project"))
    assert not tokenizer.vocabulary.begins_word(token_id(tokenizer, "e"))


@pytest.mark.parametrize(
    ("before", "after"),
    [("the", "project"), ("Zürich is", "in New York 😀, and 北京 too."), ("budget", "."), ("a", "½")],
    ids=["two words", "several words and bytes", "a punctuation mark", "a character of three"],
)
def test_text_after_another_reads_on_where_that_ended(any_tokenizer: Tokenizer, before: str, after: str) -> None:
    vocabulary = any_tokenizer.vocabulary
    whole = any_tokenizer.tokenize(f"{before} {after}").ids
    first = any_tokenizer.tokenize(before).ids
    assert whole[: len(first)].tolist() == first.tolist(), "the text must not change the tokens before it"
    read = vocabulary.processor.decode(first.tolist()) + vocabulary.text_after(first, whole[len(first) :])
    assert read == vocabulary.processor.decode(whole.tolist())


def test_a_new_word_after_another_text_begins_with_a_space(tokenizer: Tokenizer) -> None:
    before, word = tokenizer.tokenize("the").ids, tokenizer.tokenize("project").ids
    assert tokenizer.vocabulary.text_after(before, word) == " project"


def test_special_pieces_in_generated_text_read_as_nothing(any_tokenizer: Tokenizer) -> None:
    before, word = any_tokenizer.tokenize("the").ids, any_tokenizer.tokenize("project").ids
    after = np.concatenate(([any_tokenizer.cls_id], word, [any_tokenizer.sep_id]))
    assert any_tokenizer.vocabulary.text_after(before, after).strip() == "project"
