"""Converted vocabularies are held against two others: the `tokenizers` library, and the SentencePiece model before."""

import base64
import copy
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import transformers
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from model_export.checkpoints.same_ids import check_same_ids
from model_export.checkpoints.typed_fields import Unusable
from sentencepiece import sentencepiece_model_pb2

from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.tokenizer_json import sentencepiece_from_tokenizer_json
from model_export.errors import CheckpointError
from model_export.export.tokenizer import write_tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.model_export.checkpoints.tokenizer_files import (
    SPACE,
    Converted,
    as_transformers_4,
    saved_by_transformers_5,
    write_json,
)
from tests.vocabularies import CORPUS

PIECES = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}

KINDS: dict[str, dict[str, Any]] = {
    "unigram": {"normalization_rule_name": "identity"},
    "unigram with a character map": {},
    "unigram with byte fallback": {"normalization_rule_name": "identity", "byte_fallback": True, "vocab_size": 500},
    "unigram with pieces across spaces": {"normalization_rule_name": "identity", "split_by_whitespace": False},
    "byte-pair": {"normalization_rule_name": "identity", "model_type": "bpe"},
}


def train(prefix: Path, **options: Any) -> Path:
    options = {"vocab_size": 220, "model_type": "unigram", "control_symbols": ["[CLS]", "[SEP]", "[MASK]"], **options}
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(CORPUS),
        model_prefix=str(prefix),
        hard_vocab_limit=False,
        pad_id=0,
        pad_piece="<pad>",
        unk_id=4,
        bos_id=-1,
        eos_id=-1,
        num_threads=1,
        minloglevel=2,
        **options,
    )
    return prefix.with_suffix(".model")


@pytest.fixture(scope="module")
def convert(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], Converted]:
    """Train, let one generation of transformers write the file, convert; each combination once."""
    made: dict[tuple[str, str], Converted] = {}

    def make(kind: str, writer: str) -> Converted:
        if (kind, writer) not in made:
            folder = tmp_path_factory.mktemp("vocabulary")
            spiece = train(folder / "spiece", **KINDS[kind])
            if writer == "transformers 5":
                file = saved_by_transformers_5(spiece, folder)
            else:
                file = write_json(folder, as_transformers_4(spiece))
            made[kind, writer] = Converted(spiece, file)
        return made[kind, writer]

    return make


@pytest.fixture(scope="module")
def zeros(tmp_path_factory: pytest.TempPathFactory) -> Converted:
    """As in the released vocabulary, every score is 0: the order of trying alone decides between segmentations."""
    folder = tmp_path_factory.mktemp("zeros")
    spiece = train(folder / "spiece", normalization_rule_name="identity")
    proto = sentencepiece_model_pb2.ModelProto.FromString(spiece.read_bytes())
    for piece in proto.pieces:
        piece.score = 0.0
    spiece.write_bytes(proto.SerializeToString())
    return Converted(spiece, write_json(folder, as_transformers_4(spiece)))


# Some 300 texts that neither file's rules for the ends of a text touch.
SENTENCES = [
    *CORPUS[:6],
    *(word for line in CORPUS[:6] for word in line.split()),
    *(line[start : start + 17].strip() for line in CORPUS[:6] for start in range(0, 40, 3)),
    *(" " * spaces + line.replace(" ", " " * spaces) for line in CORPUS[:6] for spaces in range(1, 6)),
    *(
        f"{a}{b}"
        for a in ("office", "New York", "Zürich", "北京", "½ ", "")
        for b in ("'s", "!?", "👍🏽", "\x07x", "Ж", "x")
    ),
    *(line.swapcase() for line in CORPUS[:6]),
    "\n\nline\r\nend\tof  it",
    f"a{SPACE}b {SPACE}{SPACE} c",
    "北 京 \U0001fac3 \U0001fac3",
    "",
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("writer", ["transformers 4", "transformers 5"])
def test_ids_are_those_of_tokenizers(kind: str, writer: str, convert: Callable[..., Converted]) -> None:
    converted = convert(kind, writer)
    assert len(SENTENCES) > 200
    for text in SENTENCES:
        assert converted.ours.encode(text) == converted.expected(text), repr(text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(text=documents)
@pytest.mark.parametrize("kind", ["zero scores", "byte-pair"])
def test_ids_of_any_text_are_those_of_tokenizers_where_scores_are_exact(
    kind: str, text: str, convert: Callable[..., Converted], zeros: Converted
) -> None:
    converted = zeros if kind == "zero scores" else convert(kind, "transformers 4")
    text = text.strip().strip(SPACE).strip()
    assume(not text.startswith(SPACE) and not text.endswith(SPACE) and not converted.is_special(text))
    assert converted.ours.encode(text) == converted.expected(text)


@settings(max_examples=300, deadline=None)
@given(text=documents)
@pytest.mark.parametrize("kind", ["unigram", "unigram with a character map", "unigram with byte fallback", "byte-pair"])
def test_ids_of_any_text_are_those_of_the_model_before_its_conversion(
    kind: str, text: str, convert: Callable[..., Converted]
) -> None:
    converted = convert(kind, "transformers 4")
    assert converted.ours.encode(text) == converted.original.encode(text)


def test_pieces_keep_ids_scores_and_kinds(convert: Callable[..., Converted]) -> None:
    converted = convert("unigram", "transformers 5")
    proto = converted.proto
    kind = proto.SentencePiece
    assert [piece.piece for piece in proto.pieces[:5]] == ["<pad>", "[CLS]", "[SEP]", "[MASK]", "<unk>"]
    assert [piece.type for piece in proto.pieces[:5]] == [kind.CONTROL] * 4 + [kind.UNKNOWN]
    size = converted.original.get_piece_size()
    assert [piece.piece for piece in proto.pieces][:size] == [converted.original.id_to_piece(n) for n in range(size)]
    assert [piece.score for piece in proto.pieces][:size] == [converted.original.get_score(n) for n in range(size)]
    # transformers adds its own tokens behind the vocabulary.
    assert [(piece.piece, piece.type) for piece in proto.pieces[size:]] == [
        ("<s>", kind.CONTROL),
        ("</s>", kind.CONTROL),
    ]
    assert (proto.trainer_spec.pad_id, proto.trainer_spec.unk_id) == (0, 4)
    assert (proto.trainer_spec.bos_id, proto.trainer_spec.eos_id) == (size, size + 1)


def test_tokens_that_are_not_special_are_user_defined(tmp_path: Path) -> None:
    spiece = train(tmp_path / "spiece", user_defined_symbols=["<ans>", "[x]"])
    proto = Converted(spiece, write_json(tmp_path, as_transformers_4(spiece))).proto
    named = {piece.piece: piece.type for piece in proto.pieces}
    assert named["<ans>"] == named["[x]"] == proto.SentencePiece.USER_DEFINED


def test_pieces_across_spaces_are_unused_as_in_tokenizers(convert: Callable[..., Converted]) -> None:
    converted = convert("unigram with pieces across spaces", "transformers 4")
    across = [piece for piece in converted.proto.pieces if SPACE in piece.piece[1:]]
    assert across
    assert {piece.type for piece in across} == {converted.proto.SentencePiece.UNUSED}


@pytest.mark.parametrize(
    ("writer", "text", "extra"),
    [
        pytest.param(
            "transformers 4", "office\n", 1, id="a line end that transformers 4 strips and SentencePiece keeps"
        ),
        pytest.param("transformers 5", "office ", -1, id="a space that transformers 5 keeps and SentencePiece strips"),
        pytest.param("transformers 4", f"{SPACE}office", 1, id="a literal space symbol in front"),
    ],
)
def test_where_the_libraries_part_at_the_ends_of_a_text(
    writer: str, text: str, extra: int, convert: Callable[..., Converted]
) -> None:
    converted = convert("unigram", writer)
    assert len(converted.ours.encode(text)) - len(converted.expected(text)) == extra


def test_where_the_libraries_part_under_a_character_map(convert: Callable[..., Converted]) -> None:
    converted = convert("unigram with a character map", "transformers 4")
    # `tokenizers` loses the mark; SentencePiece, before and after the conversion, keeps it as unknown.
    text = "½\u0301 of"
    assert converted.ours.encode(text) == converted.original.encode(text)
    assert converted.expected(text) == converted.expected("½ of") != converted.ours.encode(text)


def test_the_service_finds_positions_with_a_converted_vocabulary(
    tmp_path: Path, convert: Callable[..., Converted]
) -> None:
    converted = convert("unigram", "transformers 5")
    target = tmp_path / "tokenizer.model"
    ids = write_tokenizer(converted.serialised, converted.file, target, PIECES, len(converted.proto.pieces))
    assert (ids.cls, ids.sep, ids.mask) == (1, 2, 3)
    tokenizer = Tokenizer(target, cls_id=1, sep_id=2, pad_id=0, mask_id=3).load()
    text = "Carol  Stone [SEP] leads 北京, \U0001fac3<s>!"
    tokens = tokenizer.tokenize(text)
    spans = [text[start:end] for start, end in zip(tokens.starts, tokens.ends, strict=True)]
    assert "".join(spans).replace(" ", "") == text.replace(" ", "")
    size = len(converted.proto.pieces)
    assert {0, 1, 2, 3, size - 1, size - 2}.isdisjoint(tokens.ids.tolist())


def test_the_broken_tokenizer_of_transformers_5_is_refused(tmp_path: Path) -> None:
    spiece = train(tmp_path / "spiece")
    transformers.BigBirdTokenizer(vocab_file=str(spiece)).save_pretrained(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="holds 4 pieces and none for ordinary text; BigBirdTokenizer"):
        sentencepiece_from_tokenizer_json(tmp_path / "saved" / "tokenizer.json")


Change = Callable[[dict[str, Any]], object]


def change_model(**fields: Any) -> Change:
    return lambda values: values["model"].update(fields)


def change_step(index: int, **fields: Any) -> Change:
    return lambda values: values["normalizer"]["normalizers"][index].update(fields)


def change_metaspace(**fields: Any) -> Change:
    return lambda values: values["pre_tokenizer"].update(fields)


def append_step(**step: Any) -> Change:
    return lambda values: values["normalizer"]["normalizers"].append(step)


def add_token(content: Any, number: Any, special: Any) -> Change:
    return lambda values: values["added_tokens"].append(
        {
            "id": number,
            "content": content,
            "special": special,
            "single_word": False,
            "lstrip": False,
            "rstrip": False,
            "normalized": False,
        }
    )


CHARSMAP = {"type": "Precompiled", "precompiled_charsmap": "YWJjZGVmZ2g="}


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param("unigram", lambda v: v.pop("model"), "model: is None, not an object", id="no model"),
        pytest.param(
            "unigram", change_model(type="WordPiece"), "model.type: 'WordPiece' is not a model", id="WordPiece"
        ),
        pytest.param("unigram", change_model(vocab={"a": 1}), "model.vocab: is an object, not a list", id="no list"),
        pytest.param("unigram", change_model(vocab=[["a"]]), r"model.vocab\[0\]: is not a piece and", id="no score"),
        pytest.param(
            "unigram", change_model(vocab=[["a", 1e39]]), r"model.vocab\[0\]: its score is no", id="huge score"
        ),
        pytest.param("unigram", change_model(vocab=[["a", float("nan")]]), r"its score is no number", id="score NaN"),
        pytest.param("unigram", change_model(vocab=[["", 0]]), "a piece is empty, longer than 512", id="empty piece"),
        pytest.param("unigram", change_model(vocab=[["a" * 513, 0]]), "a piece is empty, longer", id="long piece"),
        pytest.param("unigram", change_model(vocab=[["a\0", 0]]), "or holds a zero byte", id="a zero byte"),
        pytest.param(
            "unigram", change_model(vocab=[["\ud800", 0]]), "is not valid Unicode", id="half a surrogate pair"
        ),
        pytest.param(
            "unigram", change_model(unk_id=None), "model.unk_id: is None, not a whole number", id="no unknown"
        ),
        pytest.param("unigram", change_model(unk_id=-1), "model.unk_id: is -1, not a whole", id="negative unknown"),
        pytest.param("unigram", change_model(unk_id=9**99), "model.unk_id: is a huge number", id="huge unknown"),
        pytest.param("unigram", change_model(unk_id=7), "the ids of .* would differ", id="an unknown that is a piece"),
        pytest.param("unigram", change_model(byte_fallback=1), "model.byte_fallback: is 1, not true", id="no flag"),
        pytest.param(
            "unigram", change_model(byte_fallback=True), "not make a SentencePiece model", id="no byte pieces"
        ),
        pytest.param(
            "unigram",
            lambda v: v["model"]["vocab"].append(v["model"]["vocab"][9]),
            "is there twice",
            id="a piece twice",
        ),
        pytest.param("unigram", add_token("covid", 220, False), "'covid' is a word in texts", id="an added word"),
        pytest.param("unigram", add_token("<x>", 999, True), "'<x>' has the id 999", id="a gap in the ids"),
        pytest.param("unigram", add_token("<x>", 3, True), "'<x>' has the id 3, which is another's", id="a taken id"),
        pytest.param("unigram", add_token(None, 3, True), "content: is None, not a string", id="no content"),
        pytest.param("unigram", add_token("e", None, True), "id: is None, not a whole number", id="no id"),
        pytest.param("unigram", lambda v: v.update(added_tokens={}), "added_tokens: is an object", id="no token list"),
        pytest.param(
            "unigram", lambda v: v.update(normalizer=None), "runs of spaces are not joined", id="no normaliser"
        ),
        pytest.param("unigram", lambda v: v.update(normalizer=[]), "normalizer: is a list", id="normaliser a list"),
        pytest.param("unigram", append_step(type="Lowercase"), "'Lowercase' cannot be expressed", id="Lowercase"),
        pytest.param("unigram", append_step(type="Strip"), "a second Strip cannot", id="a second Strip"),
        pytest.param("unigram", append_step(**CHARSMAP), "'Precompiled' cannot .* at this place", id="a late map"),
        pytest.param("unigram", change_step(0, strip_left=True), "strip_left: is true", id="strip on the left"),
        pytest.param("unigram", change_step(1, content="_"), r"normalizers\[1\]: is not the replacement", id="Replace"),
        pytest.param("unigram", change_step(0, type="Precompiled"), "charsmap: is None", id="no character map"),
        pytest.param("unigram", change_step(0, **{**CHARSMAP, "precompiled_charsmap": "*"}), "not base64", id="base64"),
        pytest.param("unigram", change_step(0, **CHARSMAP), "not a character map: its trie is cut", id="a cut map"),
        pytest.param(
            "unigram", lambda v: v.update(pre_tokenizer=None), "pre_tokenizer: is None", id="no pre-tokenizer"
        ),
        pytest.param("unigram", change_metaspace(type="ByteLevel"), "'ByteLevel' cannot be expressed", id="ByteLevel"),
        pytest.param("unigram", change_metaspace(replacement="_"), "replacement: is not", id="another space symbol"),
        pytest.param("unigram", change_metaspace(prepend_scheme="never"), "is 'never'; only", id="no space in front"),
        pytest.param("unigram", change_metaspace(split=None), "split: is None", id="split is no flag"),
        pytest.param("byte-pair", change_model(dropout=0.1), "model.dropout: is set", id="dropout"),
        pytest.param("byte-pair", change_model(fuse_unk=False), "model.fuse_unk: is false", id="unknowns apart"),
        pytest.param("byte-pair", change_model(ignore_merges=True), "model.ignore_merges: is true", id="no merging"),
        pytest.param("byte-pair", change_model(unk_token=None), "model.unk_token: is not in", id="no unknown token"),
        pytest.param("byte-pair", change_model(merges=[["a"]]), r"merges\[0\]: is not a pair", id="half a merge"),
        pytest.param(
            "byte-pair", change_model(merges=["q z"]), r"merges\[0\]: 'q' and 'z' are not", id="no such piece"
        ),
        pytest.param("byte-pair", change_model(merges=[]), "merges: lacks", id="pieces without merges"),
        pytest.param(
            "byte-pair",
            lambda v: v["model"]["merges"].append(v["model"]["merges"][0]),
            "is made at two places of the list",
            id="a merge twice",
        ),
        pytest.param("byte-pair", change_model(vocab={"a": 1}), r"vocab\['a'\]: is 1, not a whole", id="a gap"),
        pytest.param("byte-pair", change_model(vocab={"a": 0, "b": 0}), "no piece has the id 1", id="an id twice"),
    ],
)
def test_what_cannot_be_expressed_is_told_in_one_line(
    kind: str, change: Change, message: str, tmp_path: Path, convert: Callable[..., Converted]
) -> None:
    values = copy.deepcopy(convert(kind, "transformers 4").values)
    change(values)
    file = write_json(tmp_path, values)
    with pytest.raises(CheckpointError, match=message) as raised:
        sentencepiece_from_tokenizer_json(file)
    assert str(raised.value).startswith(f"{file}: ")
    assert "\n" not in str(raised.value)


def test_without_the_package_tokenizers_the_message_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, convert: Callable[..., Converted]
) -> None:
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    with pytest.raises(CheckpointError, match=r"package tokenizers, .* pip install '.*\[export\]'"):
        sentencepiece_from_tokenizer_json(convert("unigram", "transformers 4").file)


def test_a_model_with_other_ids_is_found_by_the_first_text_that_shows_it(convert: Callable[..., Converted]) -> None:
    one, other = convert("unigram", "transformers 4"), convert("unigram with byte fallback", "transformers 4")
    with pytest.raises(Unusable, match="the ids of a single letter would differ from those of tokenizers"):
        check_same_ids(one.values, other.serialised)


def test_a_single_piece_with_another_score_is_found(zeros: Converted) -> None:
    proto = copy.deepcopy(zeros.proto)
    piece = next(piece for piece in proto.pieces if piece.type == piece.NORMAL and len(piece.piece) > 3)
    piece.score = -0.5
    with pytest.raises(Unusable, match="would differ"):
        check_same_ids(zeros.values, proto.SerializeToString())


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["Unigram", "BPE", "Metaspace", "Precompiled", "Strip", "Sequence", SPACE, "<unk>", "never"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every value inside a JSON value; of long lists the first few."""
    inner = value.items() if isinstance(value, dict) else list(enumerate(value))[:6] if isinstance(value, list) else ()
    found = [(*prefix, key) for key, _ in inner]
    return found + [place for key, below in inner for place in places(below, (*prefix, key))]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", ["unigram with a character map", "byte-pair"])
def test_any_change_of_a_file_gives_a_model_or_one_line(
    kind: str, data: st.DataObject, tmp_path: Path, convert: Callable[..., Converted]
) -> None:
    values = copy.deepcopy(convert(kind, "transformers 4").values)
    for _ in range(data.draw(st.integers(1, 3))):
        *path, last = data.draw(st.sampled_from(places(values)))
        parent = values
        for key in path:
            parent = parent[key]
        if data.draw(st.booleans()):
            del parent[last]
        else:
            parent[last] = data.draw(JSON_VALUES)
        if not values:
            break
    try:
        serialised = sentencepiece_from_tokenizer_json(write_json(tmp_path, values))
    except CheckpointError as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 600
    else:
        sentencepiece.SentencePieceProcessor(model_proto=serialised).encode("Any text. 北京\n½")


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_character_map_gives_a_model_or_one_line(
    data: st.DataObject, tmp_path: Path, convert: Callable[..., Converted]
) -> None:
    values = copy.deepcopy(convert("unigram with a character map", "transformers 4").values)
    step = values["normalizer"]["normalizers"][0]
    charsmap = bytearray(base64.b64decode(step["precompiled_charsmap"]))
    size = int.from_bytes(charsmap[:4], "little")
    # Half of the changes hit the first units, through which every look-up goes.
    where = st.one_of(st.integers(0, 4 + 2048), st.integers(0, len(charsmap) - 1), st.integers(size, size + 200))
    for _ in range(data.draw(st.integers(1, 20))):
        charsmap[data.draw(where)] = data.draw(st.integers(0, 255))
    step["precompiled_charsmap"] = base64.b64encode(
        charsmap[: data.draw(st.sampled_from([None, -1, 3, 1028]))]
    ).decode()
    try:
        serialised = sentencepiece_from_tokenizer_json(write_json(tmp_path, values))
    except CheckpointError as error:
        assert "\n" not in str(error)
    else:
        sentencepiece.SentencePieceProcessor(model_proto=serialised).encode("Any text. 北京\n½ ﬁ Å")
