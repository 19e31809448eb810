"""A model file that would let a text steer the model, or cannot be read, stops start-up."""

from pathlib import Path

import pytest

from service.errors import BundleError
from service.tokenization.tokenizer import Tokenizer


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
    with pytest.raises(BundleError, match=r"tokenizer\.model: cannot be read"):
        Tokenizer(path, cls_id=1, sep_id=2, pad_id=0).load()


def test_constructing_reads_nothing(tmp_path: Path) -> None:
    Tokenizer(tmp_path / "not there yet", cls_id=1, sep_id=2, pad_id=0)
