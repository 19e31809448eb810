"""Checkpoints without `spiece.model`: their files give the ids that transformers gives, or one line says why not."""

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import transformers
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tokenizers import AddedToken
from tokenizers import Tokenizer as Pipeline

from bigbird_inference.errors import BundleError
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.recognise import read_checkpoint
from model_export.checkpoints.tokenizer_json import TokenizerDocument, find_tokenizer_json
from model_export.errors import CheckpointError
from model_export.export.tokenizer_json import write_tokenizer_json
from tests import tokenizer_files
from tests.model_export.checkpoints.saved_tokenizers import as_transformers_4, saved_by_transformers_5, write_json
from tests.model_export.reference_models import make_config, make_model
from tests.tokenizer_files import BERT_TOKENS, mixed_strings, save
from tests.vocabularies import CORPUS, train_vocabulary


def found(folder: Path) -> TokenizerDocument:
    document = find_tokenizer_json(folder)
    assert document is not None
    return document


def bundled(folder: Path) -> Tokenizer:
    """Return what is served of a folder."""
    document = found(folder)
    made = folder / "made.json"
    ids = write_tokenizer_json(
        json.dumps(document.values).encode(), document.file, made, document.special_tokens, 10_000
    )
    return Tokenizer(made, ids.cls, ids.sep, 0, ids.mask, "tokenizers").load()


def write_vocab(folder: Path, *more: str, **config: Any) -> Path:
    """Write a checkpoint's `vocab.txt` and `tokenizer_config.json`."""
    ids = tokenizer_files.word_piece(lowercase=False).get_vocab()
    lines = [*sorted(ids, key=lambda piece: ids[piece]), *more]
    (folder / "vocab.txt").write_text("\n".join(lines) + "\n", encoding="utf-8")
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (folder / "config.json").write_text('{"model_type": "big_bird"}')
    return folder


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"do_lower_case": False},
        {"do_lower_case": False, "strip_accents": True},
        {"do_lower_case": True, "strip_accents": False},
        {"do_lower_case": False, "tokenize_chinese_chars": False},
    ],
    ids=str,
)
def test_a_word_list_is_read_as_bert_tokenizer_reads_it(config: dict[str, Any], tmp_path: Path) -> None:
    write_vocab(tmp_path, "京都", "ÄÖ\u3000", "twice", "twice", tokenizer_class="BertTokenizer", **config)
    texts = ["京都 京 都 ÄÖ äö ao twice", *mixed_strings(1_500, seed=2, control=tuple(BERT_TOKENS))]
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert isinstance(reference, transformers.BertTokenizer)
    ours = bundled(tmp_path)
    assert (ours.cls_id, ours.sep_id, ours.mask_id) == (2, 3, 4)
    for text, ids in zip(texts, reference(texts, add_special_tokens=False)["input_ids"], strict=True):
        assert ours.tokenize(text).ids.tolist() == ids, text


def test_bert_tokenizer_takes_the_vocabulary_of_a_tokenizer_json_and_nothing_else(tmp_path: Path) -> None:
    save(tokenizer_files.word_piece(), tmp_path, tokenizer_class="BertTokenizerFast", do_lower_case=False)
    (tmp_path / "config.json").write_text('{"model_type": "big_bird"}')
    text = "Alice Smith leads café 한국어"
    reference = transformers.AutoTokenizer.from_pretrained(tmp_path)
    assert bundled(tmp_path).tokenize(text).ids.tolist() == reference(text, add_special_tokens=False)["input_ids"]
    assert found(tmp_path).changes == (
        "tokenizer.json: normalizer is that of BertTokenizer with tokenizer_config.json, as in transformers, and not "
        "the file's",
    )


def test_a_tokenizer_json_of_no_class_is_as_it_stands(tmp_path: Path) -> None:
    tokenizer = tokenizer_files.word_piece()
    save(tokenizer, tmp_path, do_lower_case=False)
    assert found(tmp_path).changes == ()
    text = "Alice Smith leads CAFÉ"
    assert bundled(tmp_path).tokenize(text).ids.tolist() == tokenizer.encode(text, add_special_tokens=False).ids


@pytest.mark.parametrize("text", ["office ", "office\n", " office", "the office  ", "\n\toffice \n"])
@pytest.mark.parametrize("writer", ["transformers 4", "transformers 5"])
def test_the_ends_of_a_text_are_as_the_file_says(writer: str, text: str, tmp_path: Path) -> None:
    options = {"normalization_rule_name": "identity"} if writer == "transformers 5" else {}
    control = ["[CLS]", "[SEP]", "[MASK]"]
    spiece = train_vocabulary(tmp_path / "spiece", vocab_size=220, control_symbols=control, **options)
    if writer == "transformers 5":
        folder = saved_by_transformers_5(spiece, tmp_path).parent
    else:
        folder = write_json(tmp_path, as_transformers_4(spiece)).parent
    pipeline = Pipeline.from_file(str(folder / "tokenizer.json"))
    ours = bundled(folder)
    for line in (text, *CORPUS[:6]):
        assert ours.tokenize(line).ids.tolist() == pipeline.encode(line, add_special_tokens=False).ids


def renamed(values: dict[str, Any], names: dict[str, str]) -> None:
    """Give special tokens other names, in the vocabulary and everywhere else."""
    text = json.dumps(values)
    for old, new in names.items():
        text = text.replace(json.dumps(old), json.dumps(new))
    values.clear()
    values.update(json.loads(text))


@pytest.mark.parametrize("source", ["tokenizer_config.json", "special_tokens_map.json", "post_processor"])
def test_special_tokens_are_found_wherever_they_are_named(source: str, tmp_path: Path) -> None:
    save(tokenizer_files.word_piece(), tmp_path)
    values = json.loads((tmp_path / "tokenizer.json").read_text())
    renamed(values, {"[CLS]": "[C]", "[SEP]": "[S]"})
    if source != "post_processor":
        values["post_processor"] = None
        tokens = {"cls_token": "[C]", "sep_token": {"content": "[S]"}, "mask_token": "[MASK]"}
        (tmp_path / source).write_text(json.dumps(tokens))
    write_json(tmp_path, values)
    document = found(tmp_path)
    assert [document.special_tokens[role] for role in ("cls", "sep", "pad", "mask")] == [
        "[C]",
        "[S]",
        "[PAD]",
        "[MASK]",
    ]
    assert any("puts something else around them" in line for line in document.changes) == (source != "post_processor")
    assert {2, 3}.isdisjoint(bundled(tmp_path).tokenize("[C] a [S]").ids.tolist())


@pytest.mark.parametrize("lstrip", [True, False])
def test_the_mask_takes_the_space_before_it_if_the_file_says_so(lstrip: bool, tmp_path: Path) -> None:
    tokenizer = tokenizer_files.unigram()
    tokenizer.add_special_tokens([AddedToken("[MASK]", lstrip=lstrip)])
    save(tokenizer, tmp_path)
    assert found(tmp_path).mask_lstrip == lstrip


def test_words_of_added_tokens_json_are_tokens(tmp_path: Path) -> None:
    write_vocab(tmp_path, tokenizer_class="BertTokenizer")
    size = len((tmp_path / "vocab.txt").read_text().splitlines())
    (tmp_path / "added_tokens.json").write_text(json.dumps({"covid": size, "<e1>": size + 1}))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"additional_special_tokens": ["<e1>"]}))
    ours = bundled(tmp_path)
    assert size in ours.tokenize("a covid b").ids.tolist()
    assert size + 1 not in ours.tokenize("a <e1> b").ids.tolist()
    assert found(tmp_path).changes == ("special tokens that are ordinary characters where a text holds them: <e1>",)


@pytest.mark.parametrize("name", ["BertJapaneseTokenizer", "CanineTokenizer"])
def test_a_word_list_of_a_tokenizer_in_python_is_refused(name: str, tmp_path: Path) -> None:
    write_vocab(tmp_path, tokenizer_class=name)
    with pytest.raises(CheckpointError, match=rf"vocab\.txt: is the vocabulary of '{name}'.*writes tokenizer\.json"):
        find_tokenizer_json(tmp_path)


def test_a_tokenizer_in_python_is_refused_whatever_file_it_has(tmp_path: Path) -> None:
    save(tokenizer_files.KINDS["WordPiece"](), tmp_path)
    (tmp_path / "tokenizer_config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    with pytest.raises(CheckpointError, match="BertJapaneseTokenizer cuts words with a program of its own"):
        find_tokenizer_json(tmp_path)


REMADE = "tokenizer.json: is read as it stands, as in transformers 4; transformers 5 takes only its vocabulary, as "


@pytest.mark.parametrize(
    ("kind", "name", "reason"),
    [
        ("Unigram with NFKC", "BigBirdTokenizer", "its class is BigBirdTokenizer"),
        ("Unigram with NFKC", None, "no file names its class"),
        ("byte-level BPE", "RobertaTokenizerFast", "its class is RobertaTokenizer"),
        ("Unigram with NFKC", "PreTrainedTokenizerFast", None),
    ],
)
def test_a_file_that_transformers_5_would_not_read_as_it_stands_is_told(
    kind: str, name: str | None, reason: str | None, tmp_path: Path
) -> None:
    pipeline = tokenizer_files.KINDS[kind]()
    save(pipeline, tmp_path, tokenizer_class=name)
    (tmp_path / "config.json").write_text('{"model_type": "big_bird"}')
    texts = mixed_strings(200, seed=3)
    theirs = transformers.AutoTokenizer.from_pretrained(tmp_path)(texts, add_special_tokens=False)["input_ids"]
    own = [encoding.ids for encoding in pipeline.encode_batch(texts, add_special_tokens=False)]
    ours = bundled(tmp_path)
    assert [ours.tokenize(text).ids.tolist() for text in texts] == own
    lines = [line for line in found(tmp_path).changes if line.startswith("tokenizer.json: is read")]
    assert (theirs == own) == (reason is None)
    assert lines == ([] if reason is None else [f"{REMADE}{reason}, and may cut some texts otherwise"])


def test_a_file_that_transformers_5_wrote_is_read_as_it_does_without_a_word(tmp_path: Path) -> None:
    spiece = train_vocabulary(tmp_path / "spiece", vocab_size=220, control_symbols=["[CLS]", "[SEP]", "[MASK]"])
    folder = saved_by_transformers_5(spiece, tmp_path).parent
    (folder / "config.json").write_text('{"model_type": "big_bird"}')
    texts = mixed_strings(200, seed=3)
    ours = bundled(folder)
    theirs = transformers.AutoTokenizer.from_pretrained(folder)(texts, add_special_tokens=False)["input_ids"]
    assert [ours.tokenize(text).ids.tolist() for text in texts] == theirs
    assert not [line for line in found(folder).changes if line.startswith("tokenizer.json: is read")]


@pytest.mark.parametrize("kind", ["WordPiece", "Unigram", "byte-level BPE"])
def test_a_tokenizer_that_is_saved_again_is_the_same_in_transformers(kind: str, tmp_path: Path) -> None:
    pipeline = tokenizer_files.KINDS[kind]()
    save(pipeline, tmp_path / "first")
    config = make_config(pipeline.get_vocab_size(), num_hidden_layers=1, pad_token_id=0)
    make_model("classify", config).save_pretrained(tmp_path / "first")
    checkpoint = read_checkpoint(tmp_path / "first")
    (tmp_path / "again").mkdir()
    checkpoint.tokenizer.save(tmp_path / "again")
    (tmp_path / "again" / "config.json").write_text('{"model_type": "big_bird"}')
    again = transformers.AutoTokenizer.from_pretrained(tmp_path / "again")
    for text in mixed_strings(200, seed=6):
        assert again(text)["input_ids"] == pipeline.encode(text).ids
    assert found(tmp_path / "again").special_tokens == checkpoint.tokenizer.special_tokens


def test_a_folder_without_either_file_has_none(tmp_path: Path) -> None:
    assert find_tokenizer_json(tmp_path) is None


def test_the_broken_tokenizer_of_transformers_5_is_refused(tmp_path: Path) -> None:
    spiece = train_vocabulary(tmp_path / "spiece", vocab_size=220)
    transformers.BigBirdTokenizer(vocab_file=str(spiece)).save_pretrained(tmp_path / "saved")
    with pytest.raises(CheckpointError, match="holds 4 pieces and none for ordinary text; BigBirdTokenizer"):
        find_tokenizer_json(tmp_path / "saved")


@pytest.fixture(scope="module")
def values_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], dict[str, Any]]:
    """Return the content of a kind's tokenizer.json; "mapped" has a character map."""
    spiece = train_vocabulary(
        tmp_path_factory.mktemp("mapped") / "spiece", vocab_size=220, control_symbols=["[CLS]", "[SEP]", "[MASK]"]
    )
    made: dict[str, dict[str, Any]] = {"mapped": as_transformers_4(spiece)}

    def of(kind: str) -> dict[str, Any]:
        if kind not in made:
            made[kind] = json.loads(tokenizer_files.KINDS[kind]().to_str())
        return copy.deepcopy(made[kind])

    return of


Change = Callable[[dict[str, Any]], object]


def model(**fields: Any) -> Change:
    return lambda values: values["model"].update(fields)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        pytest.param("Unigram", lambda v: v.pop("model"), "is not a tokenizer: it has no model; give", id="no model"),
        pytest.param("WordPiece", model(type="WordLevel"), "model.type: 'WordLevel' is not one of", id="WordLevel"),
        pytest.param("Unigram", model(vocab={"a": 1}), "model.vocab: is an object, not a list", id="no list"),
        pytest.param("Unigram", model(vocab=[["a"]]), r"model.vocab\[0\]: is not a piece and", id="no score"),
        pytest.param(
            "Unigram", model(vocab=[["a", 1e39]]), r"its score is not a number, or too large", id="a huge score"
        ),
        pytest.param("Unigram", model(vocab=[["a", float("nan")]]), "its score is not a number", id="a score NaN"),
        pytest.param("Unigram", model(vocab=[["a" * 513, 0]]), "longer than 512 characters", id="a long piece"),
        pytest.param("Unigram", model(vocab=[["\ud800", 0]]), "is not valid Unicode", id="half a surrogate pair"),
        pytest.param("Unigram", model(unk_id=None), "model.unk_id: is None, not a whole number", id="no unknown"),
        pytest.param("Unigram", model(unk_id=9**99), "model.unk_id: is a huge number", id="a huge unknown"),
        pytest.param("WordPiece", model(vocab=["a"]), "model.vocab: is a list, not an object", id="no object"),
        pytest.param("WordPiece", model(vocab={"a": -1}), r"model.vocab\['a'\]: is -1, not a whole", id="below zero"),
        pytest.param("WordPiece", model(vocab={"a": 1, "b": 1}), "'a' and 'b' have the same id 1", id="an id twice"),
        pytest.param("WordPiece", model(unk_token="nope"), "model.unk_token: is not in the", id="no unknown token"),
        pytest.param("BPE for DNA", model(dropout=0.1), "model.dropout: is set, so that the same", id="dropout"),
        pytest.param("BPE for DNA", model(ignore_merges=True), "model.ignore_merges: is true", id="no merging"),
        pytest.param("BPE for DNA", model(merges=[["A"]]), r"merges\[0\]: is not a pair", id="half a merge"),
        pytest.param("BPE for DNA", model(merges=["q z"]), "cannot be used by tokenizers", id="no such pieces"),
        pytest.param(
            "WordPiece", lambda v: v.update(added_tokens={"a": 1}), "added_tokens: is an object", id="no token list"
        ),
        pytest.param(
            "WordPiece",
            lambda v: v["added_tokens"].append({**v["added_tokens"][0], "content": "x", "id": 9_000, "special": False}),
            r"^\S+/tokenizer.json: the added token 'x' has the id 9000, which is another's or leaves a gap; take",
            id="a gap in the ids",
        ),
        pytest.param(
            "WordPiece",
            lambda v: v["added_tokens"].append({**v["added_tokens"][0], "content": "x", "id": 50, "special": False}),
            r"^\S+/tokenizer.json: the added token 'x' has the id 50, which is another's",
            id="an added token with the id of a piece",
        ),
        pytest.param(
            "WordPiece",
            lambda v: v["added_tokens"].append({**v["added_tokens"][0], "content": "x", "id": 3, "special": False}),
            r"^\S+/tokenizer.json: the added token 'x' has the id 3, which is another's",
            id="an added token with the id of SEP",
        ),
        pytest.param(
            "WordPiece",
            lambda v: v["added_tokens"].append({**v["added_tokens"][0], "content": "x", "id": 90_000}),
            "has the id 90000, but vocab_size is 10000",
            id="an id beyond the embeddings",
        ),
        pytest.param(
            "WordPiece",
            lambda v: renamed(v, {"[CLS]": "x", "[SEP]": "y"}) or v.update(post_processor=None),
            r"lacks the special tokens cls '\[CLS\]', sep '\[SEP\]'; if they have other names, say so in special_tok",
            id="no CLS",
        ),
        pytest.param(
            "mapped",
            lambda v: v["normalizer"]["normalizers"][0].update(precompiled_charsmap="*"),
            "precompiled_charsmap: is not base64",
            id="a map that is not base64",
        ),
        pytest.param(
            "mapped",
            lambda v: v["normalizer"]["normalizers"][0].update(precompiled_charsmap="YWJjZGVmZ2g="),
            "not a character map: its trie is cut",
            id="a cut map",
        ),
        pytest.param(
            "Unigram",
            lambda v: v["normalizer"]["normalizers"].append({"type": "Mystery"}),
            r"normalizer.normalizers\[2\]: 'Mystery' is not one of",
            id="an unknown normaliser",
        ),
        pytest.param(
            "Unigram",
            lambda v: v.update(pre_tokenizer={"type": "Metaspace", "replacement": "long"}),
            "cannot be used by tokenizers",
            id="what the library refuses",
        ),
        pytest.param("Unigram", lambda v: v.update(decoder={"type": "CTC"}), "decoder: 'CTC' is not", id="a decoder"),
    ],
)
def test_what_cannot_be_used_is_told_in_one_line(
    kind: str, change: Change, message: str, tmp_path: Path, values_of: Callable[[str], dict[str, Any]]
) -> None:
    values = values_of(kind)
    change(values)
    file = write_json(tmp_path, values)
    with pytest.raises((CheckpointError, BundleError), match=message) as raised:
        bundled(tmp_path)
    assert str(raised.value).startswith((f"{file}: ", f"{tmp_path}/made.json: "))
    assert "\n" not in str(raised.value)


JSON_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(), max_size=8)
    | st.sampled_from(["Unigram", "BPE", "WordPiece", "Metaspace", "Strip", "Sequence", "[SEP]", "<unk>"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value: Any, prefix: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Return the path to every value inside a JSON value; of long lists and objects the first few."""
    inner = [*value.items()] if isinstance(value, dict) else list(enumerate(value)) if isinstance(value, list) else []
    return [place for key, below in inner[:12] for place in ((*prefix, key), *places(below, (*prefix, key)))]


def try_to_serve(folder: Path) -> None:
    """Serve a text, or be told in one line why not; no special token comes out of it."""
    try:
        tokenizer = bundled(folder)
        ids = tokenizer.tokenize("Any text. 北京\n½ [SEP] ﬁ Å <s>").ids.tolist()
    except (CheckpointError, BundleError) as error:
        assert "\n" not in str(error)
        assert len(str(error)) < 700
    else:
        assert {tokenizer.cls_id, tokenizer.sep_id, tokenizer.mask_id}.isdisjoint(ids)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@pytest.mark.parametrize("kind", ["mapped", "WordPiece", "BPE for DNA"])
def test_any_change_of_a_file_gives_a_tokenizer_or_one_line(
    kind: str, data: st.DataObject, tmp_path: Path, values_of: Callable[[str], dict[str, Any]]
) -> None:
    values = values_of(kind)
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
    write_json(tmp_path, values)
    try_to_serve(tmp_path)


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_of_a_character_map_gives_a_tokenizer_or_one_line(
    data: st.DataObject, tmp_path: Path, values_of: Callable[[str], dict[str, Any]]
) -> None:
    values = values_of("mapped")
    step = values["normalizer"]["normalizers"][0]
    charsmap = bytearray(base64.b64decode(step["precompiled_charsmap"]))
    size = int.from_bytes(charsmap[:4], "little")
    # Half of the changes hit the first units, through which every look-up goes.
    where = st.one_of(st.integers(0, 4 + 2048), st.integers(0, len(charsmap) - 1), st.integers(size, size + 200))
    for _ in range(data.draw(st.integers(1, 20))):
        charsmap[data.draw(where)] = data.draw(st.integers(0, 255))
    cut = charsmap[: data.draw(st.sampled_from([None, -1, 3, 1028]))]
    step["precompiled_charsmap"] = base64.b64encode(cut).decode()
    write_json(tmp_path, values)
    try_to_serve(tmp_path)
