from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from sentencepiece import sentencepiece_model_pb2

from model_export.errors import CheckpointError
from model_export.export.tokenizer import write_tokenizer
from tests.model_export.reference_models import SPECIAL_PIECES, train_spiece_model

PIECES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}
Train = Callable[..., Path]


@pytest.fixture(scope="module")
def train(tmp_path_factory: pytest.TempPathFactory) -> Train:
    def make(**options: Any) -> Path:
        return train_spiece_model(tmp_path_factory.mktemp("vocabulary"), **options)

    return make


@pytest.fixture(scope="module")
def user_defined(train: Train) -> Path:
    """As in the released vocabulary, the special pieces and some more are user-defined."""
    return train(user_defined_symbols=[*SPECIAL_PIECES[1:], "<s>", "<t>", "<ans>"])


@pytest.fixture(scope="module")
def control(train: Train) -> Path:
    return train()


@pytest.fixture(scope="module")
def ordinary(train: Train) -> Path:
    """The special pieces are pieces like any other."""
    path = train(user_defined_symbols=list(SPECIAL_PIECES[1:]))
    model = sentencepiece_model_pb2.ModelProto.FromString(path.read_bytes())
    for piece in model.pieces:
        if piece.type == piece.USER_DEFINED:
            piece.type = piece.NORMAL
            piece.score = 0.0
    path.write_bytes(model.SerializeToString())
    return path


def _load(path: Path) -> Any:
    return sentencepiece.SentencePieceProcessor(model_file=str(path))


TEXT = "Who leads [SEP] the <s> project[CLS]? [MASK]<pad><t>[SEP][SEP] office"


@pytest.mark.parametrize("kind", ["user_defined", "control", "ordinary"])
def test_a_text_never_yields_a_special_id(kind: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    source = request.getfixturevalue(kind)
    ids = write_tokenizer(source.read_bytes(), source, tmp_path / "tokenizer.model", PIECES, 200)
    before, after = _load(source), _load(tmp_path / "tokenizer.model")
    assert (ids.cls, ids.sep, ids.mask) == tuple(before.piece_to_id(piece) for piece in SPECIAL_PIECES[1:])
    forbidden = {before.piece_to_id(piece) for piece in (*SPECIAL_PIECES, "<s>", "<t>")} - {before.unk_id()}
    assert not forbidden & set(after.encode(TEXT))
    if kind != "control":
        assert forbidden & set(before.encode(TEXT)), "the source does not show the problem"


def test_other_text_is_tokenised_as_before(user_defined: Path, tmp_path: Path) -> None:
    write_tokenizer(user_defined.read_bytes(), user_defined, tmp_path / "tokenizer.model", PIECES, 200)
    before, after = _load(user_defined), _load(tmp_path / "tokenizer.model")
    for text in ("Who leads the Acme project in New York?", "Zürich 北京  naïve", ""):
        assert before.encode(text) == after.encode(text)
    assert before.get_piece_size() == after.get_piece_size()
    assert all(before.id_to_piece(n) == after.id_to_piece(n) for n in range(before.get_piece_size()))


def test_a_vocabulary_without_a_mask_has_no_mask_id(train: Train, tmp_path: Path) -> None:
    source = train(control_symbols=["[CLS]", "[SEP]"])
    assert write_tokenizer(source.read_bytes(), source, tmp_path / "tokenizer.model", PIECES, 200).mask is None


def test_missing_special_pieces_are_named_together(train: Train, tmp_path: Path) -> None:
    source = train(control_symbols=["[MASK]"])
    with pytest.raises(CheckpointError, match=r"lacks the special pieces cls '\[CLS\]', sep '\[SEP\]'; .* --tok"):
        write_tokenizer(source.read_bytes(), source, tmp_path / "tokenizer.model", PIECES, 200)
    assert not (tmp_path / "tokenizer.model").exists()


def test_more_pieces_than_embeddings_are_refused(control: Path, tmp_path: Path) -> None:
    size = _load(control).get_piece_size()
    write_tokenizer(control.read_bytes(), control, tmp_path / "tokenizer.model", PIECES, size)
    with pytest.raises(CheckpointError, match=rf"has {size} pieces, but vocab_size is {size - 1}"):
        write_tokenizer(control.read_bytes(), control, tmp_path / "other.model", PIECES, size - 1)


@pytest.mark.parametrize("content", [b"\xff\xff\xff", b"not a model", b""], ids=["bytes", "text", "empty"])
def test_a_file_that_is_no_sentencepiece_model_is_refused_by_name(content: bytes, tmp_path: Path) -> None:
    source = tmp_path / "spiece.model"
    source.write_bytes(content)
    with pytest.raises(CheckpointError, match=r"spiece\.model: "):
        write_tokenizer(source.read_bytes(), source, tmp_path / "tokenizer.model", PIECES, 200)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(lambda charsmap: charsmap[:-1], id="cut"),
        pytest.param(lambda charsmap: (2**31).to_bytes(4, "little") + charsmap[4:], id="a length beyond its end"),
        pytest.param(lambda charsmap: charsmap[:4] + b"\xff\xff\xff\x7f" + charsmap[8:], id="a unit that leads out"),
    ],
)
def test_a_character_map_that_leads_out_of_itself_is_refused(
    spoil: Callable[[bytes], bytes], control: Path, tmp_path: Path
) -> None:
    """SentencePiece would follow it through foreign memory."""
    model = sentencepiece_model_pb2.ModelProto.FromString(control.read_bytes())
    whole = model.normalizer_spec.precompiled_charsmap
    assert len(whole) > 1000
    write_tokenizer(model.SerializeToString(), control, tmp_path / "whole.model", PIECES, 10_000)
    model.normalizer_spec.precompiled_charsmap = spoil(whole)
    with pytest.raises(CheckpointError, match=f"{control.name}: precompiled_charsmap: is not a character map"):
        write_tokenizer(model.SerializeToString(), control, tmp_path / "tokenizer.model", PIECES, 10_000)
    assert not (tmp_path / "tokenizer.model").exists()
