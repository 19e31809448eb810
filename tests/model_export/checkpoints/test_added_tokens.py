"""What stands beside a `spiece.model`, held against what transformers makes of the same folder."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
import torch
import transformers

from bigbird_inference.tokenization.masked_text import tokenize_masked
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints import added_tokens
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import CheckpointTokenizer, FoundTokenizer
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from model_export.export.tokenizer import write_tokenizer
from model_export.patterns.registry import get_pattern
from tests.model_export.reference_models import Document, Reference, make_config, make_model
from tests.vocabularies import train_vocabulary

SIZE = 113
ROWS = 133
WORDS = ["Borealis", "<ent_1>", "office in", "Éclair", "Bore"]
TEXT = "The budget of Borealis is 2.5 million <ent_1> euros for the  office in Paris, Borex!"
NORMAL = {"lstrip": False, "rstrip": False, "single_word": False, "normalized": True, "special": False}


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """Pieces as in the released vocabulary: markers are user-defined, and texts are taken as they are."""
    symbols = ["[CLS]", "[SEP]", "[MASK]", "<s>", "</s>", "<row>", "<cn>"]
    prefix = tmp_path_factory.mktemp("vocabulary") / "spiece"
    file = train_vocabulary(prefix, vocab_size=220, normalization_rule_name="identity", user_defined_symbols=symbols)
    assert sentencepiece.SentencePieceProcessor(model_file=str(file)).get_piece_size() == SIZE
    return file.read_bytes()


@pytest.fixture
def folder(vocabulary: bytes, tmp_path: Path) -> Path:
    (tmp_path / "spiece.model").write_bytes(vocabulary)
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "big_bird"}))
    return tmp_path


def write(folder: Path, name: str, values: object) -> None:
    (folder / name).write_text(json.dumps(values), encoding="utf-8")


def described(words: list[str], **flags: bool) -> dict[str, dict[str, Any]]:
    return {str(SIZE + place): {"content": word, **NORMAL, **flags} for place, word in enumerate(words)}


def by_names(folder: Path) -> None:
    write(folder, "added_tokens.json", {word: SIZE + place for place, word in enumerate(WORDS)})


def by_decoder(folder: Path) -> None:
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": described(WORDS)})


def by_transformers_5(folder: Path) -> None:
    tokenizer = transformers.BigBirdTokenizer.from_pretrained(folder)
    tokenizer.add_tokens(WORDS)
    tokenizer.save_pretrained(folder)
    assert not (folder / "added_tokens.json").exists()


def opened(folder: Path, text_pieces: tuple[str, ...] = ()) -> tuple[CheckpointTokenizer, Tokenizer]:
    """Read the folder's tokenizer, and open it as a bundle holds it."""
    own = FoundTokenizer.find(folder, None).read(text_pieces, ROWS)
    file = folder / "bundled.model"
    ids = write_tokenizer(
        own.content,
        own.file,
        file,
        own.special_tokens,
        ROWS,
        added_tokens=own.added_tokens,
        text_pieces=own.text_pieces,
    )
    tokenizer = Tokenizer(
        file, ids.cls, ids.sep, 0, ids.mask, mask_lstrip=own.mask_lstrip, added_tokens=own.added_tokens
    )
    return own, tokenizer.load()


def ids_of_transformers(folder: Path, text: str) -> list[int]:
    tokenizer = transformers.BigBirdTokenizer.from_pretrained(folder)
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


def mixed_texts(count: int) -> list[str]:
    """Draw texts of words, added ones, punctuation and spaces; what ends them is left to the library of each file."""
    generator = random.Random(7)
    parts = [*WORDS, *TEXT.split(), "  ", " ", "\n", "\u00a0", ",", "(", "北京", "😀", "<", "1,000", "Ecl", "office"]
    texts = []
    for _ in range(count):
        drawn = generator.choices(parts, k=generator.randint(1, 12))
        glue = generator.choice([" ", "", " "])
        texts.append(glue.join(drawn).strip(" "))
    return texts


@pytest.mark.parametrize("listed", [by_names, by_decoder, by_transformers_5])
def test_added_words_are_tokens_as_in_transformers(listed: Callable[[Path], None], folder: Path) -> None:
    before = len(opened(folder)[1].tokenize(TEXT))
    listed(folder)
    _, tokenizer = opened(folder)
    assert len(tokenizer.tokenize(TEXT)) < before
    theirs = transformers.BigBirdTokenizer.from_pretrained(folder)
    for text in (TEXT, *mixed_texts(1000)):
        ids = tokenizer.tokenize(text).ids.tolist()
        assert ids == theirs(text, add_special_tokens=False)["input_ids"], repr(text)
        assert ids == tokenizer.tokenize_without_positions(text).ids.tolist()


@pytest.mark.parametrize("flag", ["lstrip", "rstrip", "single_word", "normalized"])
def test_a_words_properties_are_kept(flag: str, folder: Path) -> None:
    words = described(WORDS) | {str(SIZE): {"content": "Borealis", **NORMAL, flag: not NORMAL[flag]}}
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": words})
    _, tokenizer = opened(folder)
    theirs = transformers.BigBirdTokenizer.from_pretrained(folder)
    for text in ("a Borealis  b", "Borealis", "aBorealis", "Borealisb  \u00a0Borealis \n b", *mixed_texts(300)):
        assert tokenizer.tokenize(text).ids.tolist() == theirs(text, add_special_tokens=False)["input_ids"], repr(text)


def test_added_special_tokens_are_characters_in_a_text_and_are_named(folder: Path) -> None:
    words = described(["<ent>", "Borealis"])
    words[str(SIZE)] |= {"special": True, "normalized": False}
    write(folder, "tokenizer_config.json", {"added_tokens_decoder": words})
    own, tokenizer = opened(folder)
    assert "special tokens that are ordinary characters where a text holds them: <ent>" in own.changes
    found = tokenizer.tokenize("a <ent> Borealis").ids.tolist()
    assert SIZE not in found and found[-1] == SIZE + 1
    assert tokenizer.vocabulary.token_text(SIZE) == "<ent>"


def test_special_tokens_of_the_older_files_are_special(folder: Path) -> None:
    write(folder, "added_tokens.json", {"<ent>": SIZE, "Borealis": SIZE + 1})
    write(folder, "special_tokens_map.json", {"additional_special_tokens": [{"content": "<ent>", "lstrip": True}]})
    assert {token.content: token.special for token in opened(folder)[0].added_tokens} == {
        "<ent>": True,
        "Borealis": False,
    }


def test_a_role_may_be_an_added_token(folder: Path) -> None:
    write(folder, "special_tokens_map.json", {"cls_token": "<cls>", "sep_token": {"content": "</s>"}})
    write(folder, "added_tokens.json", {"<cls>": SIZE})
    own, tokenizer = opened(folder)
    assert own.special_tokens == {"cls": "<cls>", "sep": "</s>", "pad": "<pad>", "mask": "[MASK]"}
    assert (tokenizer.cls_id, tokenizer.sep_id) == (SIZE, ids_of_transformers(folder, "</s>")[-1])
    assert SIZE not in tokenizer.tokenize("a <cls> b").ids


@pytest.mark.parametrize(
    ("files", "roles"),
    [
        ({"special_tokens_map.json": {"cls_token": "<s>"}}, {"cls": "<s>"}),
        ({"tokenizer_config.json": {"cls_token": "<s>"}}, {"cls": "<s>"}),
        (
            {"special_tokens_map.json": {"cls_token": "<s>"}, "tokenizer_config.json": {"cls_token": "</s>"}},
            {"cls": "<s>"},
        ),
        (
            {
                "special_tokens_map.json": {"cls_token": "<s>", "sep_token": "</s>"},
                "tokenizer_config.json": {"cls_token": "[CLS]", "added_tokens_decoder": {}},
            },
            {"cls": "[CLS]", "sep": "</s>"},
        ),
    ],
    ids=["the map alone", "the configuration alone", "the map, of older files", "the configuration, of newer ones"],
)
def test_which_file_names_the_special_tokens(files: dict[str, Any], roles: dict[str, str], folder: Path) -> None:
    for name, values in files.items():
        write(folder, name, values)
    found = FoundTokenizer.find(folder, None).read((), ROWS).special_tokens
    assert found == {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]", **roles}
    theirs = transformers.BigBirdTokenizer.from_pretrained(folder)
    if "added_tokens_decoder" not in files.get("tokenizer_config.json", {}):
        assert {role: getattr(theirs, f"{role}_token") for role in found} == found


MASKED = "Alice  [MASK] the\n[MASK] budget[MASK] \u00a0[MASK]"
MASK = {**NORMAL, "content": "[MASK]", "special": True}


@pytest.mark.parametrize(
    ("name", "values", "lstrip"),
    [
        ("tokenizer_config.json", {"added_tokens_decoder": {"3": MASK}}, False),
        ("special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": False}}, False),
        ("special_tokens_map.json", {"mask_token": {"content": "[MASK]", "lstrip": True}}, True),
        ("special_tokens_map.json", {"mask_token": "[MASK]"}, True),
        ("tokenizer_config.json", {"mask_token": {"__type": "AddedToken", **MASK}}, False),
    ],
    ids=["by id", "in the map", "in the map, with its space", "as a name", "in the configuration"],
)
def test_the_mask_takes_the_space_before_it_as_the_files_say(
    name: str, values: dict[str, Any], lstrip: bool, folder: Path
) -> None:
    write(folder, name, values)
    own, tokenizer = opened(folder)
    assert own.mask_lstrip is lstrip
    assert tokenizer.mask_id is not None
    found = tokenize_masked(tokenizer, MASKED, "[MASK]", tokenizer.mask_id).ids.tolist()
    # Of a mask with its space, transformers 5 forgets what the map says: it gets a text without those spaces.
    assert found == ids_of_transformers(folder, "Alice[MASK] the[MASK] budget[MASK][MASK]" if lstrip else MASKED)


def test_the_mask_of_a_spiece_model_alone_takes_the_space_as_in_transformers_4(folder: Path) -> None:
    own, tokenizer = opened(folder)
    assert own.mask_lstrip
    # BigBirdTokenizer and BigBirdTokenizerFast of transformers 4.57.6 give these pieces.
    processor = tokenizer.vocabulary
    assert tokenizer.mask_id is not None
    found = tokenize_masked(tokenizer, "Alice  [MASK] the\n[MASK]", "[MASK]", tokenizer.mask_id).ids.tolist()
    expected = [*processor.ids("Alice").tolist(), tokenizer.mask_id, *processor.ids(" the").tolist(), tokenizer.mask_id]
    assert found == expected


def test_text_ends_as_in_sentencepiece_and_not_as_in_transformers_5(folder: Path) -> None:
    _, tokenizer = opened(folder)
    assert tokenizer.tokenize("Alice Smith  ").ids.tolist() == tokenizer.tokenize("Alice Smith").ids.tolist()
    assert len(ids_of_transformers(folder, "Alice Smith  ")) == len(tokenizer.tokenize("Alice Smith")) + 1


def test_named_pieces_stay_pieces_and_the_others_are_told(folder: Path) -> None:
    own, _ = opened(folder)
    line = "pieces that are ordinary characters where a text holds them, unless --text-pieces names them: "
    assert own.changes == (f"{line}<row>, <cn>",)
    own, tokenizer = opened(folder, ("<row>",))
    assert own.changes == (f"{line}<cn>",)
    text = "Alice <row> Bob<row>Jones <cn> [SEP]"
    ids = tokenizer.tokenize(text)
    row = ids_of_transformers(folder, "<row>")[-1]
    spans = [text[ids.starts[place] : ids.ends[place]] for place in range(len(ids)) if ids.ids[place] == row]
    assert spans == ["<row>", "<row>"]
    cn, sep = ids_of_transformers(folder, "<cn>")[-1], tokenizer.sep_id
    assert not {cn, sep} & set(ids.ids.tolist())
    spaced = "Alice <row> Bob <row> Jones"
    assert tokenizer.tokenize(spaced).ids.tolist() == ids_of_transformers(folder, spaced)


@pytest.mark.parametrize("name", ["[CLS]", "[SEP]", "[MASK]", "<pad>", "<unk>", "<s>", "</s>"])
def test_a_piece_that_steers_the_model_is_refused(name: str, folder: Path) -> None:
    with pytest.raises(CheckpointError, match=r"text-pieces: .* steers the model"):
        FoundTokenizer.find(folder, None).read(("<row>", name), ROWS)


@pytest.mark.parametrize(
    ("name", "values", "problem"),
    [
        ("added_tokens.json", {"Borealis": ROWS}, r"'Borealis' has the id 133, but vocab_size is 133: .*resize"),
        ("added_tokens.json", {"a": SIZE, "b": SIZE}, r"added_tokens.json: the added tokens 'a' and 'b' both"),
        ("added_tokens.json", {"Borealis": "113"}, r"added_tokens.json: 'Borealis'.id: is '113', not a whole number"),
        ("added_tokens.json", {"x" * 600: SIZE}, r"added_tokens.json: .*longer than 512"),
        ("tokenizer_config.json", {"added_tokens_decoder": []}, r"added_tokens_decoder: is a list, not an object"),
        ("tokenizer_config.json", {"added_tokens_decoder": {"-1": {"content": "a"}}}, r"whole number"),
        ("tokenizer.json", {"added_tokens": [{"id": SIZE, "content": "a", "lstrip": 1}]}, r"lstrip: is 1, not true"),
    ],
)
def test_files_that_cannot_be_served_are_refused(name: str, values: object, problem: str, folder: Path) -> None:
    write(folder, name, values)
    with pytest.raises(CheckpointError, match=problem):
        FoundTokenizer.find(folder, None).read((), ROWS)


def test_more_added_tokens_than_a_bundle_may_hold_are_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(added_tokens, "MOST_ADDED_TOKENS", len(WORDS) - 1)
    by_names(folder)
    with pytest.raises(CheckpointError, match="has 5 added tokens, and at most 4 are read"):
        FoundTokenizer.find(folder, None).read((), ROWS)


def test_the_logits_of_a_text_with_added_words_are_those_of_transformers(folder: Path) -> None:
    by_names(folder)
    theirs = make_model("classify", make_config(SIZE, num_labels=16, hidden_size=64, num_attention_heads=4))
    with torch.no_grad():
        theirs.resize_token_embeddings(SIZE + len(WORDS), mean_resizing=False)
        theirs.bert.embeddings.word_embeddings.weight[SIZE:].normal_(generator=torch.Generator().manual_seed(1))
    theirs.save_pretrained(folder)
    checkpoint = read_checkpoint(folder, CheckpointOptions())
    loaded = checkpoint.load(get_pattern("transformers"))
    _, tokenizer = opened(folder)
    sequence = tokenizer.single(tokenizer.tokenize(TEXT).ids)
    reference = Reference(theirs)
    expected_ids = [tokenizer.cls_id, *ids_of_transformers(folder, TEXT), tokenizer.sep_id]
    expected = torch.from_numpy(reference.alone(Document(torch.tensor(expected_ids).numpy(), sequence.token_type_ids)))
    with torch.inference_mode():
        found = loaded.model(
            torch.from_numpy(sequence.input_ids)[None],
            torch.ones(1, len(sequence), dtype=torch.int64),
            torch.from_numpy(sequence.token_type_ids)[None],
        )[0]
    assert expected.std() > 0.5
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=0)
