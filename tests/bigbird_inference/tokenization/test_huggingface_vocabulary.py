"""Ids are those of transformers, spans what a slow walk through the text finds, and no text is a special token."""

import base64
import dataclasses
import json
import sys
import threading
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import transformers
from tokenizers import AddedToken, models, pre_tokenizers

from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.tokenization import huggingface_vocabulary
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.tokenizer_json import find_tokenizer_json
from model_export.export.tokenizer_json import write_tokenizer_json
from tests import tokenizer_files
from tests.tokenizer_files import KINDS, SENTENCES, mixed_strings


@dataclass
class Made:
    """A tokenizer as it was saved, what transformers loads from there, and ours."""

    saved: Any
    folder: Path
    ours: Tokenizer

    @property
    def bundled(self) -> Path:
        return self.folder / "bundle" / "tokenizer.json"

    @property
    def control(self) -> tuple[str, ...]:
        return tuple(self.ours.vocabulary.unreachable.values())

    def reference(self) -> transformers.PreTrainedTokenizerBase:
        return transformers.AutoTokenizer.from_pretrained(self.folder)


def make(folder: Path, tokenizer: Any = None, **settings: Any) -> Made:
    """Save a tokenizer as a checkpoint has it, and make a bundle's of it."""
    if tokenizer is not None:
        tokenizer_files.save(tokenizer, folder, **settings)
    (folder / "config.json").write_text('{"model_type": "big_bird"}')
    found = find_tokenizer_json(folder)
    assert found is not None
    (folder / "bundle").mkdir()
    file = folder / "bundle" / "tokenizer.json"
    ids = write_tokenizer_json(json.dumps(found.values).encode(), found.file, file, found.special_tokens, 10_000)
    return Made(tokenizer, folder, Tokenizer(file, ids.cls, ids.sep, 0, ids.mask, "tokenizers").load())


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Made]:
    """Return the tokenizer of a kind; each is made once."""
    kinds: dict[str, Made] = {}

    def of(kind: str) -> Made:
        if kind not in kinds:
            kinds[kind] = make(tmp_path_factory.mktemp("tokenizer"), KINDS[kind]())
        return kinds[kind]

    return of


@pytest.mark.parametrize("kind", KINDS)
def test_ids_are_those_of_transformers(kind: str, made: Callable[[str], Made]) -> None:
    tokenizer = made(kind)
    texts = mixed_strings(20_000, seed=19, control=tokenizer.control)
    assert any(text.endswith(" ") for text in texts)
    expected = tokenizer.reference()(texts, add_special_tokens=False)["input_ids"]
    vocabulary = tokenizer.ours.vocabulary
    wrong = [text for text, ids in zip(texts, expected, strict=True) if vocabulary.ids(text).tolist() != ids]
    assert wrong == []


@pytest.mark.parametrize("kind", KINDS)
def test_with_positions_the_ids_are_the_same(kind: str, made: Callable[[str], Made]) -> None:
    vocabulary = made(kind).ours.vocabulary
    for text in mixed_strings(500, seed=3):
        assert vocabulary.tokens(text).ids.tolist() == vocabulary.ids(text).tolist()


# What each kind's normaliser makes of a letter with its marks, written with Python's own means.
def _stripped(letter: str) -> str:
    return "".join(mark for mark in unicodedata.normalize("NFD", letter) if unicodedata.category(mark) != "Mn").lower()


def _composed(letter: str) -> str:
    return unicodedata.normalize("NFKC", letter).lower()


NORMAL_FORMS: dict[str, Callable[[str], str]] = {
    "WordPiece": _stripped,
    "cased WordPiece": str,
    "BPE for DNA": str,
    "byte-level BPE": lambda letter: letter.encode().decode("latin-1"),
    "Unigram": str,
    "Unigram with NFKC": _composed,
}


def clusters(text: str, kind: str) -> list[tuple[int, int]]:
    """Cut a text into letters with the marks, or parts of Hangul, that belong to them."""
    joins = kind in ("WordPiece", "Unigram with NFKC")
    found: list[tuple[int, int]] = []
    for position, character in enumerate(text):
        mark = unicodedata.category(character)[0] == "M" or "\u1160" <= character <= "\u11ff"
        if joins and mark and found:
            found[-1] = found[-1][0], position + 1
        else:
            found.append((position, position + 1))
    return found


def surface(kind: str, piece: str) -> str:
    """Return the normal characters that a piece stands for, without blanks."""
    if kind == "byte-level BPE":
        bytes_of = {mapped: byte for byte, mapped in BYTES.items()}
        piece = "".join(chr(bytes_of[letter]) for letter in piece)
        return "".join(letter for letter in piece if letter not in BLANKS)
    return piece.removeprefix("##").replace("\u2581", "").strip()


def _byte_alphabet() -> dict[int, str]:
    visible = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    hidden = [byte for byte in range(256) if byte not in visible]
    return {byte: chr(byte) for byte in visible} | {byte: chr(256 + index) for index, byte in enumerate(hidden)}


BYTES = _byte_alphabet()
BLANKS = " \t\n\r"


def walked_spans(kind: str, text: str, pieces: Sequence[str]) -> list[tuple[int, int]]:
    """Find each piece's span by walking through the text, one normal character after the other."""
    normal = [
        (letter, begin, end)
        for begin, end in clusters(text, kind)
        for letter in NORMAL_FORMS[kind](text[begin:end])
        if text[begin:end] not in BLANKS and (kind == "byte-level BPE" or not text[begin:end].isspace())
    ]
    spans, at = [], 0
    for piece in pieces:
        own = surface(kind, piece)
        taken = normal[at : at + len(own)]
        assert "".join(letter for letter, _, _ in taken) == own, (piece, text)
        at += len(own)
        visible = [(begin, end) for _, begin, end in taken if not text[begin:end].isspace()]
        spans.append((visible[0][0], visible[-1][1]) if visible else (-1, -1))
    assert at == len(normal)
    return spans


KNOWN_TEXTS = {
    "WordPiece": [
        *SENTENCES,
        "  Zu\u0308rich,  CAFE\u0301\r\nre\u0301sume\u0301 ",
        "cafe\u0323\u0301\tna\u00efve",
        "\u1112\u1161\u11ab\u1100\u116e\u11a8\u110b\u1165 문장을",
        "ALICE\u200b Smith\x00 le\u00adads",
    ],
    "cased WordPiece": [*SENTENCES, "Alice\u200b Smith\x07 leads\u00a0the\u3000Acme project "],
    "BPE for DNA": ["ACGTACGTTGCA", " ACGT\nTTGACCA  GATTACA ", "A"],
    "Unigram": ["  Alice   Smith leads ", "한국어 문장을", "the budget of project Borealis", "Zürich and São Paulo "],
    "Unigram with NFKC": ["Zu\u0308rich ", "oﬃce ﬁle", "\u1112\u1161\u11ab국어", "Ａｌｉｃｅ", "ﬃﬃ  ﬀ"],
    "byte-level BPE": mixed_strings(400, seed=8),
}


@pytest.mark.parametrize("kind", KNOWN_TEXTS)
def test_spans_are_those_of_a_walk_through_the_text(kind: str, made: Callable[[str], Made]) -> None:
    tokenizer = made(kind)
    for text in KNOWN_TEXTS[kind]:
        tokens = tokenizer.ours.tokenize(text)
        pieces = [tokenizer.saved.id_to_token(token) for token in tokens.ids.tolist()]
        assert not {"[UNK]", "<unk>"} & set(pieces), (text, pieces)
        # What a BertNormalizer drops; a space in its place is left out likewise.
        dropped = ("Cc", "Cf") if "WordPiece" in kind else ()
        expected = walked_spans(kind, "".join(" " if unicodedata.category(c) in dropped else c for c in text), pieces)
        for (start, end), begin, finish in zip(expected, tokens.starts.tolist(), tokens.ends.tolist(), strict=True):
            assert (begin, finish) == (start, end) if start >= 0 else begin == finish, (text, pieces)


DROPPED = {"Cc", "Cf", "Zs", "Zl", "Zp"}


@pytest.mark.parametrize("kind", KINDS)
def test_spans_hold_for_any_text(kind: str, made: Callable[[str], Made]) -> None:
    tokenizer = made(kind).ours
    blank = tokenizer.vocabulary.blank
    for text in mixed_strings(1_500, seed=11):
        tokens = tokenizer.tokenize(text)
        starts, ends = tokens.starts, tokens.ends
        assert np.all(np.diff(starts) >= 0) and np.all(np.diff(ends) >= 0)
        assert np.all(starts >= 0) and np.all(starts <= ends) and np.all(ends <= len(text))
        covered = np.zeros(len(text), dtype=bool)
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            covered[start:end] = True
            if end > start:
                assert not blank[ord(text[start])] and not blank[ord(text[end - 1])], (text, start, end)
        left_out = {c for c, inside in zip(text, covered, strict=True) if not inside and not blank[ord(c)]}
        # A BertNormalizer drops what is for private use, and marks that stand alone.
        assert not {c for c in left_out if unicodedata.category(c) not in (DROPPED | {"Co", "Mn"})}, (text, left_out)


def of_pieces(kind: str, pieces: list[str]) -> Any:
    """Return a tokenizer of a kind whose vocabulary is written by hand."""
    tokenizer = KINDS[kind]()
    if isinstance(tokenizer.model, models.Unigram):
        vocab = [*tokenizer_files.BIGBIRD_TOKENS, *pieces]
        tokenizer.model = models.Unigram([(piece, -float(len(vocab))) for piece in vocab], unk_id=3)
    elif isinstance(tokenizer.model, models.WordPiece):
        vocab = [*tokenizer_files.BERT_TOKENS, *pieces]
        ids = {unicodedata.normalize("NFD", piece): index for index, piece in enumerate(vocab)}
        tokenizer.model = models.WordPiece(ids, unk_token="[UNK]")
    return tokenizer


@pytest.mark.parametrize(
    ("kind", "pieces", "text", "expected"),
    [
        pytest.param(
            "WordPiece", ["cafe", "##s"], " Cafe\u0301s", [(1, 6), (6, 7)], id="an accent belongs to its letter"
        ),
        pytest.param("WordPiece", ["구", "##\u11a8"], "국", [(0, 1), (0, 1)], id="parts of a syllable have all of it"),
        pytest.param(
            "WordPiece", ["京", "a"], "京a\u200d", [(0, 1), (1, 2)], id="an ideograph is a word, a joiner nothing"
        ),
        pytest.param("byte-level BPE", [], " 😀", [(1, 1), *[(1, 2)] * 4], id="bytes of a character have all of it"),
        pytest.param("byte-level BPE", [], "▁", [(0, 0), *[(0, 1)] * 3], id="the sign for a space is a character here"),
        pytest.param("Unigram", ["▁", "S"], "S", [(0, 0), (0, 1)], id="the space before a text has no place"),
        pytest.param("Unigram", ["▁", "▁S"], "S  ", [(0, 1), (3, 3)], id="the spaces after a text have none"),
        pytest.param("Unigram", ["▁S", "▁a"], "S\u0301  ab", [(0, 1), (1, 2), (4, 5), (5, 6)], id="unknown ones"),
        pytest.param("Unigram with NFKC", ["▁f", "fi", "c"], "ﬃc", [(0, 1), (0, 1), (1, 2)], id="parts of a ligature"),
        pytest.param("Unigram with NFKC", ["▁한", "a"], "\u1112\u1161\u11aba", [(0, 3), (3, 4)], id="parts composed"),
    ],
)
def test_spans_by_hand(
    kind: str, pieces: list[str], text: str, expected: list[tuple[int, int]], tmp_path: Path
) -> None:
    tokens = make(tmp_path, of_pieces(kind, pieces)).ours.tokenize(text)
    assert list(zip(tokens.starts.tolist(), tokens.ends.tolist(), strict=True)) == expected


def spelled(names: Sequence[str]) -> list[str]:
    """Return texts that hold special tokens as words, inside words, side by side, and nothing else."""
    texts = [*names, "".join(names), " ".join(names), " ".join(names).lower()]
    return [*texts, *(f"x{name}x {name}x x{name} ({name}) {name}{name}" for name in names)]


@pytest.mark.parametrize("kind", KINDS)
def test_no_text_is_a_special_token(kind: str, made: Callable[[str], Made]) -> None:
    tokenizer = made(kind)
    vocabulary = tokenizer.ours.vocabulary
    assert {tokenizer.ours.cls_id, tokenizer.ours.sep_id, tokenizer.ours.mask_id} <= vocabulary.unreachable.keys()
    renamed = [name for name in tokenizer.saved.get_vocab() if name not in tokenizer.control]
    special = vocabulary.unreachable.keys() - {vocabulary.unk_id}
    held = json.loads(tokenizer.bundled.read_text())["model"]["vocab"]
    own_names = [name for name in held if isinstance(name, str) and len(name) >= 256]
    for text in [*spelled(tokenizer.control), *own_names, *renamed[:50]]:
        assert special.isdisjoint(tokenizer.ours.tokenize(text).ids.tolist()), text


def test_a_pre_tokenizer_that_leaves_brackets_in_words_makes_no_special_token_either(tmp_path: Path) -> None:
    tokenizer = tokenizer_files.word_piece(lowercase=False)
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    assert tokenizer.model.token_to_id("[SEP]") in [token.id for token in tokenizer.model.tokenize("[SEP]")]
    ours = make(tmp_path, tokenizer).ours
    assert set(ours.tokenize("[SEP] [CLS]s [MASK] [PAD] [UNK]").ids.tolist()) == {ours.vocabulary.unk_id}


def test_a_merge_that_makes_a_special_token_is_dropped(tmp_path: Path) -> None:
    tokenizer = tokenizer_files.dna()
    values = json.loads(tokenizer.to_str())
    vocab = values["model"]["vocab"]
    vocab |= {"<": len(vocab), "s": len(vocab) + 1, ">": len(vocab) + 2, "<s": len(vocab) + 3, "<s>": len(vocab) + 4}
    values["model"]["merges"] += [["<", "s"], ["<s", ">"]]
    values["added_tokens"].append({**values["added_tokens"][0], "id": vocab["<s>"], "content": "<s>"})
    values["pre_tokenizer"] = {"type": "WhitespaceSplit"}
    made = make(tmp_path, type(tokenizer).from_str(json.dumps(values)))
    assert made.ours.tokenize("ACG<s>T").ids.tolist() == [
        *made.saved.encode("ACG", add_special_tokens=False).ids,
        vocab["<s"],
        vocab[">"],
        *made.saved.encode("T", add_special_tokens=False).ids,
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_added_words_are_tokens_and_added_special_tokens_are_not(kind: str, tmp_path: Path) -> None:
    tokenizer = KINDS[kind]()
    size = tokenizer.get_vocab_size()
    tokenizer.add_special_tokens(["<e1>"])
    tokenizer.add_tokens([AddedToken("covid", normalized=False), AddedToken("qux", lstrip=True)])
    tokenizer.add_special_tokens(["<e2>"])
    tokenizer.add_tokens(["zzyzx"])
    made = make(tmp_path, tokenizer)
    found = find_tokenizer_json(tmp_path)
    assert found is not None
    assert found.changes == ("special tokens that are ordinary characters where a text holds them: <e1>, <e2>",)
    text = "a covid b qux zzyzx covids"
    ids = made.ours.tokenize(text).ids.tolist()
    assert ids == made.reference()(text, add_special_tokens=False)["input_ids"]
    assert {size + 1, size + 2, size + 4} <= set(ids)
    spans = made.ours.tokenize(text)
    places = {int(token): (int(a), int(b)) for token, a, b in zip(ids, spans.starts, spans.ends, strict=True)}
    assert [text[slice(*places[token])] for token in (size + 2, size + 4)] == ["qux", "zzyzx"]
    assert {size, size + 3}.isdisjoint(made.ours.tokenize("<e1> x<e2>y").ids.tolist())


@pytest.mark.parametrize("kind", KINDS)
def test_pieces_are_read_as_text(kind: str, made: Callable[[str], Made]) -> None:
    tokenizer = made(kind)
    vocabulary = tokenizer.ours.vocabulary
    assert vocabulary.token_text(tokenizer.ours.cls_id) == ("<s>" if kind == "byte-level BPE" else "[CLS]")
    assert vocabulary.token_text(10**6) == ""
    for token in vocabulary.ordinary.tolist():
        text = vocabulary.token_text(token)
        assert not text.startswith((" ", "##", "\u2581", "\u0120")), text
    for text in ("Alice Smith leads", "GATTACA"):
        ids = vocabulary.ids(text)
        if vocabulary.unk_id not in ids:
            after = vocabulary.text_after(ids[:1], ids[1:])
            whole = vocabulary.text_after(ids[:0], ids)
            assert whole.strip().lower() == text.lower() and whole.endswith(after)


def test_lone_surrogates_are_refused(made: Callable[[str], Made]) -> None:
    with pytest.raises(InvalidInput, match="not valid Unicode"):
        made("WordPiece").ours.tokenize("a\ud800")


def test_giants_are_tokenised_in_parts(made: Callable[[str], Made], monkeypatch: pytest.MonkeyPatch) -> None:
    tokenizer = made("byte-level BPE").ours
    text = " ".join(SENTENCES)
    whole = tokenizer.tokenize(text)
    monkeypatch.setattr(huggingface_vocabulary, "_PART", 7)
    parts = tokenizer.tokenize(text)
    for name in ("ids", "starts", "ends"):
        assert np.array_equal(getattr(whole, name), getattr(parts, name))


@pytest.mark.parametrize("positions", [True, False])
def test_other_threads_run_while_a_long_text_is_tokenised(positions: bool, made: Callable[[str], Made]) -> None:
    vocabulary = made("WordPiece").ours.vocabulary
    text = "Alice Smith " * 20_000
    begun, ended = threading.Event(), False

    def tokenise() -> None:
        nonlocal ended
        begun.set()
        (vocabulary.tokens if positions else vocabulary.ids)(text)
        ended = True

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1000)  # nobody takes the interpreter from a thread that does not let go of it
    try:
        thread = threading.Thread(target=tokenise)
        thread.start()
        begun.wait()
        ran_meanwhile = not ended
        thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert ran_meanwhile
    assert len(list(Path("/proc/self/task").iterdir())) < 64  # no pool of the library's


def test_threads_get_the_same_tokens(made: Callable[[str], Made]) -> None:
    vocabulary = made("Unigram").ours.vocabulary
    texts = mixed_strings(40, seed=5)
    expected = [vocabulary.ids(text).tolist() for text in texts]
    found: dict[int, list[list[int]]] = {}

    def work(number: int) -> None:
        found[number] = [vocabulary.ids(text).tolist() for text in texts]

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert all(found[number] == expected for number in range(6))


Change = Callable[[dict[str, Any]], object]
# A character map of a trie that leads nowhere, with one replacement.
LONG_REPLACEMENT = (1024).to_bytes(4, "little") + bytes(1024) + b"a" * 129 + b"\0"


def chain(**step: Any) -> Change:
    return lambda values: values.update(normalizer=step)


def added(**fields: Any) -> Change:
    token = dict(content="x", id=3, special=False, single_word=False, lstrip=False, rstrip=False, normalized=False)
    return lambda values: values["added_tokens"].append(token | fields)


def split(pattern: str) -> Change:
    step = {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False}
    return lambda values: values.update(pre_tokenizer=step)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param(split("(a+)+$"), "none of the regular expressions", id="a catastrophic expression"),
        pytest.param(split(r"\s+\s+x"), "none of the regular expressions", id="a slow expression"),
        pytest.param(
            chain(type="Replace", pattern={"String": "a"}, content="a" * 17), "longer than 16", id="a text that grows"
        ),
        pytest.param(
            chain(
                type="Sequence", normalizers=[{"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 12}] * 2
            ),
            "128 times as long",
            id="a text that grows twice",
        ),
        pytest.param(
            chain(
                type="Sequence",
                normalizers=[{"type": "Replace", "pattern": {"Regex": "."}, "content": "\ufdfa"}, {"type": "NFKD"}],
            ),
            "128 times as long",
            id="a character with a long normal form",
        ),
        pytest.param(
            chain(type="Sequence", normalizers=[{"type": "ByteLevel"}] * 2), "a second ByteLevel", id="bytes of bytes"
        ),
        pytest.param(added(content=" ", rstrip=True), "square of a text", id="white space that takes more of it"),
        pytest.param(chain(type="Precompiled", precompiled_charsmap="YWJjZGVmZ2g="), "its trie is cut", id="a map"),
        pytest.param(
            chain(type="Precompiled", precompiled_charsmap=base64.b64encode(LONG_REPLACEMENT).decode()),
            "replaces characters by more than 128 bytes",
            id="a map to long texts",
        ),
        pytest.param(chain(type="Mystery"), "'Mystery' is not one of", id="an unknown component"),
        pytest.param(chain(strip_left=True, strip_right=True), "'None' is not one of", id="a component without a type"),
        pytest.param(
            chain(type="Sequence", normalizers=[{"type": "Strip", "strip_left": True, "strip_right": True}] * 40),
            "more than 32 components",
            id="a long chain",
        ),
        pytest.param(
            lambda v: v.update(pre_tokenizer={"type": "FixedLength", "length": 0}),
            "length: is 0",
            id="empty parts",
        ),
        pytest.param(lambda v: v.update(added_tokens=[{}] * 100_001), "more than 100000", id="too many added tokens"),
        pytest.param(
            lambda v: v.update(model={"type": "Unigram", "unk_id": 0, "vocab": [["a" * 512, 0]] * 15_626}),
            "more than 8000000 characters",
            id="a vocabulary without end",
        ),
        pytest.param(lambda v: v.update(post_processor={}), "post_processor: is not allowed", id="a post-processor"),
        pytest.param(lambda v: v.update(truncation={"max_length": 3}), "truncation: is not", id="truncation"),
        pytest.param(
            lambda v: v["model"].update(max_input_chars_per_word=10**6), "more than 200", id="words of any length"
        ),
        pytest.param(lambda v: v["model"].update(type="WordLevel"), "'WordLevel' is not one of", id="another model"),
        pytest.param(lambda v: v["model"]["vocab"].update(twin=2), "have the same id 2", id="a twin of CLS"),
        pytest.param(lambda v: v["model"]["vocab"].update({"[X]": 2**24}), "not a whole number", id="a huge id"),
        pytest.param(lambda v: v["unreachable"].update({"9": "a"}), "but a text can contain it", id="a reachable one"),
        pytest.param(lambda v: v["unreachable"].pop("3"), "is the sep token, but a text can", id="SEP not listed"),
        pytest.param(lambda v: v.pop("unreachable"), "unreachable: is None", id="nothing listed"),
        pytest.param(
            added(id=3),
            "'x' is a special token, but a text can contain it",
            id="an added word with the id of SEP",
        ),
    ],
)
def test_a_bundle_that_could_do_harm_is_refused_in_one_line(
    change: Change, message: str, tmp_path: Path, made: Callable[[str], Made]
) -> None:
    values = json.loads(made("WordPiece").bundled.read_text())
    change(values)
    file = tmp_path / "tokenizer.json"
    file.write_text(json.dumps(values))
    with pytest.raises(BundleError, match=message) as raised:
        Tokenizer(file, 2, 3, 0, 4, "tokenizers").load()
    assert str(raised.value).startswith(f"{file}: ") and "\n" not in str(raised.value)


def test_an_unknown_token_that_is_cls_is_refused(tmp_path: Path, made: Callable[[str], Made]) -> None:
    with pytest.raises(BundleError, match="the id 1 is the cls token, but a text can contain it"):
        Tokenizer(made("WordPiece").bundled, 1, 3, 0, 4, "tokenizers").load()


def test_what_goes_wrong_in_the_library_names_the_file(made: Callable[[str], Made]) -> None:
    class Panic(BaseException):
        pass

    class Broken:
        def encode_batch_fast(self, *_: Any, **__: Any) -> None:
            raise Panic("index out of\nrange")

    vocabulary = made("WordPiece").ours.vocabulary
    broken = dataclasses.replace(vocabulary, tokenizer=Broken(), characters=None)
    with pytest.raises(BundleError, match=r"tokenizer\.json: cannot be used by tokenizers: index out of range"):
        broken.ids("a")


def test_a_unigram_model_with_its_special_pieces_renamed_scores_as_before(made: Callable[[str], Made]) -> None:
    tokenizer = made("Unigram")
    assert isinstance(tokenizer.saved.model, models.Unigram)
    vocab = json.loads(tokenizer.bundled.read_text())["model"]["vocab"]
    before = json.loads(tokenizer.saved.to_str())["model"]["vocab"]
    assert [score for _, score in vocab] == [score for _, score in before]
    assert [piece for piece, _ in vocab].count("") == len(tokenizer.control)
