"""What an export says before it starts, and that with --dry-run nothing is made."""

import itertools
import re
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from model_export.config import BigBirdConfig
from model_export.export.buckets import plan_buckets
from model_export.export.duration import about, expected_seconds
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

RATE = 1e11


def saved(folder: Path, task: str, vocab_size: int = 100, **fields: Any) -> Path:
    fields = {"hidden_size": 12, "intermediate_size": 16, "max_position_embeddings": 256} | fields
    return save_model(make_model(task, make_config(vocab_size, **fields)), folder / "checkpoint")


def dry_run(folder: Path, *options: str) -> str:
    result = CliRunner().invoke(main, ["export", str(folder), "--dry-run", *options])
    assert result.exit_code == 0, result.output
    return result.output


def test_a_dry_run_says_what_would_be_exported_and_makes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, "ner", id2label={0: "O", 1: "PER", 2: ""}, pad_token_id=-1)
    printed = dry_run(Path("checkpoint"), "--buckets", "112,160,256", "--output", "bundle")
    *lines, time = printed.splitlines()
    assert lines == [
        "checkpoint",
        "  source      safetensors, checkpoint",
        "  task        ner",
        "  labels      3: O, PER, LABEL_2",
        "  model       2 layers, hidden size 12, 3 heads, vocabulary 100",
        "  tokenizer   spiece.model",
        "  attention   blocks of 16, random blocks of transformers",
        "  changed     pad_token_id: -1 is not a token; padding is left out by its position, so 0 stands in",
        "              for it",
        "  changed     labels: the configuration names 2 of the head's 3 outputs; made up: LABEL_2 (name all",
        "              of them with --labels)",
        "  not used    bert.pooler.bias, bert.pooler.weight",
        "  buckets     3: 112, 160, 256 tokens, with full attention up to 112",
    ]
    assert time.startswith("  time        about ")
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint"]


def test_of_many_buckets_the_ends_are_said(tmp_path: Path) -> None:
    printed = dry_run(saved(tmp_path, "qa"), "--buckets", "every:16")
    assert "\n  buckets     16: 16 to 256 tokens, with full attention up to 112\n" in printed


def test_answer_types_are_said_where_there_are_some(tmp_path: Path) -> None:
    folder = saved(tmp_path, "natural-questions")
    line = "\n  answers     spans, and a type by a head of its own: null, short, long, yes, no\n"
    assert line in dry_run(folder)
    assert line not in dry_run(folder, "--ignore-weights", "cls.*")


@pytest.mark.parametrize(
    ("task", "fields", "options", "pairs"),
    [
        pytest.param("classify", {}, (), "zeros", id="transformers' own"),
        pytest.param("classify", {}, ("--pair-types", "segments"), "segments", id="others by choice"),
        pytest.param(
            "classify", {"type_vocab_size": 1}, ("--pair-types", "segments"), "zeros", id="a model of one token type"
        ),
        pytest.param("multiple-choice", {}, (), "zeros", id="choices"),
        pytest.param("qa", {}, (), None, id="no pairs of two texts alike"),
    ],
)
def test_token_types_of_pairs_are_said_where_there_are_pairs(
    tmp_path: Path, task: str, fields: dict[str, Any], options: tuple[str, ...], pairs: str | None
) -> None:
    printed = dry_run(saved(tmp_path, task, **fields), *options)
    assert ([line for line in printed.splitlines() if "  pairs" in line]) == (
        [] if pairs is None else [f"  pairs       token types {pairs}"]
    )


@pytest.mark.parametrize("file", ["model.safetensors", "spiece.model"])
def test_a_dry_run_reads_and_checks_every_file(tmp_path: Path, file: str) -> None:
    folder = saved(tmp_path, "qa")
    (folder / file).write_bytes((folder / file).read_bytes()[:-100])
    result = CliRunner().invoke(main, ["export", str(folder), "--dry-run"])
    assert result.exit_code == 1
    assert result.output.startswith(f"Error: {folder / file}: ")


def test_a_dry_run_finds_out_whether_the_tokenizer_fits_the_model(tmp_path: Path) -> None:
    folder = saved(tmp_path, "qa", vocab_size=50)
    result = CliRunner().invoke(main, ["export", str(folder), "--dry-run"])
    assert result.exit_code == 1
    assert re.fullmatch(rf"Error: {folder}/spiece\.model: has \d+ pieces, but vocab_size is 50\n", result.output)


@pytest.mark.parametrize("as_file", [True, False], ids=["a file", "names"])
def test_labels_are_named_on_the_command_line(tmp_path: Path, as_file: bool) -> None:
    folder = saved(tmp_path, "ner", num_labels=3)
    value = "O,B-PER, I-PER"
    if as_file:
        value = str(tmp_path / "labels.txt")
        Path(value).write_text("\ufeffO\nB-PER\r\n I-PER \n\n", encoding="utf-8")
    assert "  labels      3: O, B-PER, I-PER\n" in dry_run(folder, "--labels", value)


def test_a_checkpoint_cannot_write_to_the_terminal(tmp_path: Path) -> None:
    assert "A\\x1b[2J" in dry_run(saved(tmp_path, "ner", id2label={0: "O", 1: "A\x1b[2J"}))


@pytest.mark.parametrize(
    ("labels", "unread"),
    [
        pytest.param(["B_PER", "I_PER"], "B_PER, I_PER", id="underscores, and no O"),
        pytest.param(["O", "B-PER", "M-PER", "E-PER", "S-PER"], "M-PER, E-PER, S-PER", id="BMES"),
    ],
)
def test_labels_that_surprise_are_noted(tmp_path: Path, labels: list[str], unread: str) -> None:
    said = " ".join(dry_run(saved(tmp_path, "ner", id2label=dict(enumerate(labels)))).split())
    assert f"labels positions the service does not read: {unread}; each label is served as a type of its own" in said
    without_outside = (
        "none is called O, so every word is served as an entity; rename the one that marks none with --labels"
    )
    assert (without_outside in said) == ("O" not in labels)


@pytest.mark.parametrize(
    ("value", "said"),
    [("O,,B-PER", "number 1 has no name"), ("", "number 0 has no name"), ("O,B", "2 are given, and the head has 3")],
)
def test_labels_that_cannot_be_are_refused(tmp_path: Path, value: str, said: str) -> None:
    folder = saved(tmp_path, "ner", num_labels=3)
    result = CliRunner().invoke(main, ["export", str(folder), "--dry-run", "--labels", value])
    assert result.exit_code != 0
    assert said in result.output


def test_labels_in_another_encoding_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labels.txt").write_bytes("O\nB-PER\n".encode("utf-16"))
    folder = saved(tmp_path, "ner", num_labels=2)
    result = CliRunner().invoke(main, ["export", str(folder), "--dry-run", "--labels", str(tmp_path / "labels.txt")])
    assert "labels.txt: is not text in UTF-8; save it again as such" in " ".join(result.output.split())


def test_white_space_around_text_pieces_is_passed_over(tmp_path: Path) -> None:
    result = CliRunner().invoke(
        main, ["export", str(saved(tmp_path, "ner")), "--dry-run", "--text-pieces", " <none>, <such>"]
    )
    assert "text-pieces: '<none>' is not a user-defined piece" in result.output


def test_more_work_is_expected_to_take_longer() -> None:
    small = BigBirdConfig(num_hidden_layers=2, hidden_size=64, intermediate_size=128, num_attention_heads=2)
    base = BigBirdConfig()
    few, many = (plan_buckets(base, buckets) for buckets in ((704, 1024), None))
    times = [
        expected_seconds(small, few, {"fp32": ["composed"]}, RATE),
        expected_seconds(base, few, {"fp32": ["composed"]}, RATE),
        expected_seconds(base, many, {"fp32": ["composed"]}, RATE),
        expected_seconds(base, many, {"fp32": ["composed"], "int8": ["composed"]}, RATE),
        expected_seconds(base, many, {"fp32": ["composed"], "int8": ["composed"]}, RATE / 10),
    ]
    assert all(longer > 1.2 * shorter for shorter, longer in itertools.pairwise(times))


@pytest.mark.parametrize(
    ("seconds", "written"),
    [
        (3, "about 10 seconds"),
        (44, "about 40 seconds"),
        (100, "about 2 minutes"),
        (1000, "about 17 minutes"),
        (9000, "about 2.5 hours"),
    ],
)
def test_a_time_is_written_as_roughly_as_it_is_known(seconds: float, written: str) -> None:
    assert about(seconds) == written
