"""Where a checkpoint's tokenizer is found, and that it is written as it was read."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import transformers

from finetuning.start import Start
from model_export.checkpoints import checkpoint_tokenizer
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.checkpoint_tokenizer import FoundTokenizer, parse_sentencepiece
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import CheckpointError
from model_export.patterns.registry import get_pattern
from tests import tokenizer_files
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

SIZE = 74
ADDED = {"content": "Borealis", "lstrip": True, "rstrip": False, "single_word": False, "normalized": True}


@pytest.fixture(scope="module")
def with_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    model = make_model("classify", make_config(100, hidden_size=12, intermediate_size=16, num_labels=3))
    return save_model(model, tmp_path_factory.mktemp("classify"))


@pytest.fixture
def without(with_tokenizer: Path, tmp_path: Path) -> Path:
    """A checkpoint without a tokenizer."""
    folder = Path(shutil.copytree(with_tokenizer, tmp_path / "checkpoint"))
    (folder / "spiece.model").unlink()
    return folder


@pytest.fixture
def elsewhere(with_tokenizer: Path, tmp_path: Path) -> Path:
    """A folder with nothing but a tokenizer."""
    (tmp_path / "elsewhere").mkdir()
    return Path(shutil.copy(with_tokenizer / "spiece.model", tmp_path / "elsewhere" / "spiece.model")).parent


def options(tokenizer: Path | str) -> CheckpointOptions:
    return CheckpointOptions(tokenizer=str(tokenizer))


def test_a_missing_tokenizer_is_said_to_be_given_with_an_option(without: Path) -> None:
    with pytest.raises(CheckpointError, match=r"spiece\.model: missing; .*tokenizer\.json or vocab\.txt.*--tokenizer"):
        read_checkpoint(without)


@pytest.mark.parametrize("file", ["", "spiece.model"], ids=["a folder", "a file"])
def test_a_tokenizer_may_lie_elsewhere(file: str, without: Path, elsewhere: Path, with_tokenizer: Path) -> None:
    checkpoint = read_checkpoint(without, options(elsewhere / file))
    whole = read_checkpoint(with_tokenizer)
    assert checkpoint.tokenizer.content == whole.tokenizer.content
    assert f"the tokenizer is that of {elsewhere / file}, given with --tokenizer" in checkpoint.changes
    # The same files give the same hash wherever they lie, and the tokenizer is one of them.
    assert checkpoint.sha256() == whole.sha256()
    (elsewhere / "spiece.model").write_bytes(checkpoint.tokenizer.content + b"\xa0\x06\x01")
    assert read_checkpoint(without, options(elsewhere / file)).sha256() != whole.sha256()


def test_a_tokenizer_elsewhere_counts_instead_of_the_checkpoints_own(with_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer_files.save(tokenizer_files.word_piece(size=90), tmp_path / "korean")
    given = read_checkpoint(with_tokenizer, options(tmp_path / "korean")).tokenizer
    assert (given.kind, given.file.name) == ("tokenizers", "tokenizer.json")
    vocabulary = json.loads((tmp_path / "korean" / "tokenizer.json").read_text())["model"]["vocab"]
    (tmp_path / "vocab.txt").write_text("\n".join(sorted(vocabulary, key=vocabulary.__getitem__)) + "\n")
    given = read_checkpoint(with_tokenizer, options(tmp_path / "vocab.txt")).tokenizer
    assert (given.kind, given.file.name) == ("tokenizers", "vocab.txt")


def test_the_class_of_a_tokenizer_elsewhere_is_named_there(with_tokenizer: Path, tmp_path: Path) -> None:
    tokenizer_files.save(tokenizer_files.word_piece(size=90), tmp_path / "japanese", tokenizer_class=None)
    (tmp_path / "japanese" / "config.json").write_text('{"tokenizer_class": "BertJapaneseTokenizer"}')
    with pytest.raises(CheckpointError, match="BertJapaneseTokenizer cuts words with a program of its own"):
        read_checkpoint(with_tokenizer, options(tmp_path / "japanese"))


def test_a_tokenizer_may_be_on_the_hub(without: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def resolve(given: str, *, weights: bool) -> Path:
        asked.append((given, weights))
        return elsewhere

    monkeypatch.setattr(checkpoint_tokenizer, "resolve", resolve)
    checkpoint = read_checkpoint(without, options("somebody/bigbird@main"))
    assert checkpoint.tokenizer.file == elsewhere / "spiece.model"
    assert asked == [("somebody/bigbird@main", False)]
    assert "the tokenizer is that of somebody/bigbird@main, given with --tokenizer" in checkpoint.changes


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        pytest.param(lambda whole: b"", "it is empty; download or copy it again", id="empty"),
        pytest.param(lambda whole: whole[: len(whole) // 2], "it is cut off; download or copy it again", id="cut"),
        pytest.param(
            lambda whole: whole[: whole.index(b"\x0a", whole.index(b"[MASK]"))],
            "it is cut off; download or copy it again",
            id="cut between two pieces",
        ),
        pytest.param(lambda whole: b"Try later", "it is a text, 'Try later', perhaps a server's answer; ", id="a text"),
        pytest.param(lambda whole: b"PK\x03\x04" * 9, "it is another file", id="an archive"),
    ],
)
def test_a_vocabulary_of_sentencepiece_that_is_not_whole_is_refused(
    spoil: Callable[[bytes], bytes], reason: str, with_tokenizer: Path, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(with_tokenizer, tmp_path / "checkpoint"))
    file = folder / "spiece.model"
    file.write_bytes(spoil(file.read_bytes()))
    with pytest.raises(CheckpointError) as refused:
        read_checkpoint(folder)
    assert str(refused.value).startswith(f"{file}: is not a SentencePiece model: {reason}")


@pytest.mark.parametrize("left_out", ["normalizer_spec", "trainer_spec"])
def test_a_vocabulary_need_not_say_how_it_was_made(left_out: str, with_tokenizer: Path, tmp_path: Path) -> None:
    """The released one has no rules of a normaliser."""
    folder = Path(shutil.copytree(with_tokenizer, tmp_path / "checkpoint"))
    file = folder / "spiece.model"
    model = parse_sentencepiece(file.read_bytes(), file)
    model.ClearField(left_out)
    file.write_bytes(model.SerializeToString())
    assert read_checkpoint(folder).tokenizer.content == file.read_bytes()


def test_a_tokenizer_that_is_not_there_is_refused(without: Path) -> None:
    with pytest.raises(CheckpointError, match=r"nowhere/at/all: does not exist; --tokenizer takes a folder, a file"):
        read_checkpoint(without, options("./nowhere/at/all"))


def test_a_fine_tuning_starts_from_a_checkpoint_with_a_tokenizer_elsewhere(without: Path, elsewhere: Path) -> None:
    for task in ("classify", "qa"):
        start = Start.find(without, task, str(elsewhere))
        assert start.checkpoint.tokenizer.file == elsewhere / "spiece.model"
        # For another task, the checkpoint is read once more, as an encoder.
        assert start.model((), None, get_pattern("transformers"), seed=1)


@pytest.mark.parametrize("vocabulary", ["spiece.model", "tokenizer.json"])
def test_words_beside_a_vocabulary_are_part_of_the_checkpoints_hash(
    vocabulary: str, with_tokenizer: Path, elsewhere: Path
) -> None:
    if vocabulary == "tokenizer.json":
        (elsewhere / "spiece.model").unlink()
        tokenizer_files.save(tokenizer_files.word_piece(size=90), elsewhere)
    hashes = {read_checkpoint(with_tokenizer, options(elsewhere)).sha256()}
    for word in ("Borealis", "Acme"):
        (elsewhere / "added_tokens.json").write_text(json.dumps({word: 95}))
        hashes.add(read_checkpoint(with_tokenizer, options(elsewhere)).sha256())
    assert len(hashes) == 3


@pytest.mark.parametrize(
    "config",
    [
        {},
        {"cls_token": "[MASK]", "mask_token": "[CLS]"},
        {"added_tokens_decoder": {str(SIZE): ADDED, str(SIZE + 1): {**ADDED, "content": "<ent>", "special": True}}},
        {"mask_token": {"content": "[MASK]", "lstrip": False}},
    ],
    ids=["the usual", "other roles", "added tokens", "a mask without its space"],
)
def test_what_is_written_reads_back_as_it_was(config: dict[str, object], elsewhere: Path, tmp_path: Path) -> None:
    if config:
        (elsewhere / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "written").mkdir()
    before = FoundTokenizer.find(elsewhere, None).read((), 100)
    before.save(tmp_path / "written")
    after = FoundTokenizer.find(tmp_path / "written", None).read((), 100)
    for name in ("kind", "content", "special_tokens", "mask_lstrip", "added_tokens", "changes"):
        assert getattr(after, name) == getattr(before, name)
    if "added_tokens_decoder" in config:
        (tmp_path / "written" / "config.json").write_text('{"model_type": "big_bird"}')
        theirs = transformers.BigBirdTokenizer.from_pretrained(tmp_path / "written")
        assert theirs("a Borealis", add_special_tokens=False)["input_ids"][-1] == SIZE


@pytest.mark.parametrize("listed_as_special", [False, True], ids=["transformers 4", "transformers 5"])
def test_pieces_of_a_tokenizer_json_that_transformers_writes_are_characters_too(
    tmp_path: Path, listed_as_special: bool
) -> None:
    """transformers lists user-defined pieces of a SentencePiece model as added tokens; 5 calls them special, too."""
    pipeline = tokenizer_files.unigram()
    tokenizer_files.save(pipeline, tmp_path)
    file = tmp_path / "tokenizer.json"
    values = json.loads(file.read_text())
    index = 20
    piece = values["model"]["vocab"][index][0]
    entry = {"id": index, "content": piece, **dict.fromkeys(("lstrip", "rstrip", "single_word"), False)}
    values["added_tokens"].append({**entry, "normalized": False, "special": False})
    file.write_text(json.dumps(values))
    if listed_as_special:
        settings = tmp_path / "tokenizer_config.json"
        known = json.loads(settings.read_text()) if settings.exists() else {}
        settings.write_text(json.dumps({**known, "extra_special_tokens": [piece]}))
    default = FoundTokenizer.find(tmp_path, None).read((), 1000)
    assert default.changes[-1].endswith(f"unless --text-pieces names them: {piece}")
    kept = FoundTokenizer.find(tmp_path, None).read((piece,), 1000)
    assert not any(piece in line for line in kept.changes)
    special = [
        next(token["special"] for token in json.loads(own.content)["added_tokens"] if token["content"] == piece)
        for own in (default, kept)
    ]
    assert special == [True, False]
    with pytest.raises(CheckpointError, match="steers the model"):
        FoundTokenizer.find(tmp_path, None).read(("[CLS]",), 1000)
