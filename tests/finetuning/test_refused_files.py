"""Files and settings that cannot be used: one line each, before anything is written."""

import json
from pathlib import Path

import pytest

from tests.finetuning.command_line import run, texts

SQUAD = {"data": [{"paragraphs": [{"context": "Alice leads Acme.", "qas": [
    {"id": "1", "question": "Who leads?", "answers": [{"text": "Bob", "answer_start": 0}]}
]}]}]}  # fmt: skip

MALFORMED = [
    pytest.param("qa", "q.json", json.dumps(SQUAD).encode(), "q.json:1: the answer 'Bob' does not", id="no answer"),
    pytest.param("qa", "q.json", b'{"data": [\n {"title": ""}]}', "q.json:2: ", id="a missing field"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nAlice\tA\nBob\n", "t.tsv:3: 1 columns", id="a missing column"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nAl\xffice\tA\n", "t.tsv:2: not UTF-8", id="wrong encoding"),
    pytest.param("classify", "t.tsv", b"", "t.tsv: the file is empty", id="an empty file"),
    pytest.param("classify", "t.tsv", b"sentence\tlabel\nBob\tA\n", "t.tsv: every text has the label", id="one label"),
    pytest.param("ner", "n.conll", b"Alice B-PER\nBob\n", "n.conll:2: one column", id="a word without tag"),
    pytest.param("ner", "n.conll", b"Alice O\n", "n.conll: no entity is tagged", id="no entity"),
    pytest.param("fill-mask", "t.jsonl", b'{"text": "Al"}\n{"txt": 1}\n', "t.jsonl:2: ", id="a line without text"),
]


@pytest.mark.parametrize(("task", "name", "content", "message"), MALFORMED)
def test_a_malformed_file_is_one_line_with_file_and_line(
    encoder: Path, tmp_path: Path, task: str, name: str, content: bytes, message: str
) -> None:
    file = tmp_path / name
    file.write_bytes(content)
    files = ["--train", str(file), "--eval", str(file), "--output", str(tmp_path / "out")]
    result = run([str(encoder), "--task", task, *files])
    assert result.exit_code == 1
    assert result.output.count("\n") == 1
    assert f"{tmp_path}/{message}" in result.output
    assert not (tmp_path / "out").exists()


def test_all_mistakes_of_a_file_are_told_each_on_a_line(encoder: Path, tmp_path: Path) -> None:
    file = tmp_path / "n.conll"
    file.write_text("Alice B-PER\nBob\nCarol X-PER\n")
    files = ["--train", str(file), "--eval", str(file), "--output", str(tmp_path / "out")]
    result = run([str(encoder), "--task", "ner", *files])
    assert result.exit_code == 1
    first, second, third = result.output.splitlines()
    assert first == f"Error: {file}: 2 mistakes:"
    assert second == f"{file}:2: one column, where a word and its tag are needed"
    assert third.startswith(f"{file}:3: 'X-PER' is not an entity tag")


def test_an_unknown_label_of_the_evaluation_file_is_named_with_its_line(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "eval.tsv").write_text("sentence\tlabel\nAlice leads.\tAcme\nBob leads.\tZeta\n")
    result = run(arguments)
    assert result.exit_code == 1
    assert result.output == (
        f"Error: {tmp_path}/eval.tsv:3: unknown label 'Zeta'; the model's labels are: Acme, Borealis\n"
    )


REFUSED = [
    pytest.param(
        ["--max-length", "128", "--window-stride", "120"],
        "window-stride: 120 leaves too little room for new tokens in windows of 128 tokens",
        id="a stride of nearly a whole window",
    ),
    pytest.param(
        ["--pattern", "none", "--random-blocks", "fresh"],
        "random-blocks: fresh ones cannot be drawn for the pattern none",
        id="fresh blocks of none",
    ),
    pytest.param(["--max-length", "100"], "max-length: must be a multiple of the block size 16", id="length"),
    pytest.param(["--precision", "fp16", "--device", "cpu"], "precision: fp16 needs a GPU", id="fp16 on a CPU"),
]


@pytest.mark.parametrize(("more", "message"), REFUSED)
def test_a_setting_that_cannot_be_is_one_line(arguments: list[str], more: list[str], message: str) -> None:
    result = run([*arguments, *more])
    assert result.exit_code == 1
    assert result.output.splitlines()[-1].startswith(f"Error: {message}")


def test_texts_without_any_label_are_refused(arguments: list[str], tmp_path: Path) -> None:
    (tmp_path / "train.tsv").write_text("sentence\tlabel\nAlice leads.\t\nBob leads.\t\n")
    result = run([*arguments, "--target", "labels"])
    assert result.exit_code == 1
    assert result.output == f"Error: {tmp_path}/train.tsv: no text has a label\n"


def test_pairs_in_one_file_alone_are_refused_with_both_names(arguments: list[str], tmp_path: Path) -> None:
    train, evaluation = tmp_path / "train.tsv", tmp_path / "eval.tsv"
    rows = [f"Alice leads.\tBob works.\t{label}" for label in ("Acme", "Borealis")]
    train.write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]) + "\n")
    one = run(arguments)
    assert one.output == f"Error: {evaluation}: there is no second text in the file, while {train} has pairs of texts\n"
    texts(train, 8)
    evaluation.write_text("\n".join(["sentence1\tsentence2\tlabel", *rows]) + "\n")
    other = run(arguments)
    assert (
        other.output == f"Error: {train}: there is no second text in the file, while {evaluation} has pairs of texts\n"
    )


def test_a_max_length_without_room_for_a_text_is_named_with_the_text(arguments: list[str], tmp_path: Path) -> None:
    pairs = "\n".join(f"Alice leads.\t{'Bob works. ' * 9}\t{label}" for label in ("Acme", "Borealis"))
    for name in ("train", "eval"):
        (tmp_path / f"{name}.tsv").write_text(f"sentence1\tsentence2\tlabel\n{pairs}\n")
    result = run([*arguments, "--max-length", "32"])
    assert result.exit_code == 1
    assert f"{tmp_path}/train.tsv:2: text_pair is too long" in result.output
    assert result.output.endswith("(--max-length is 32, the model has 256 positions)\n")
