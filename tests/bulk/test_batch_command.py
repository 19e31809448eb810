"""`bigbird batch`, from its command line to its output."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from evaluation.bundle_service import serve_bundle
from tests.reliability.small_bundles import TASKS

ROOT = Path(__file__).resolve().parents[2]
WORDS = "The survey of the northern bridges ended in May. 🌉 Maria Okafor led it in [MASK]. "
DOCUMENTS = [WORDS * times for times in (1, 30, 3, 60, 12)]
"""Of one window and of several."""

REQUESTS: dict[str, dict[str, Any]] = {
    "qa": {"question": "Who led it?", "top_k": 3, "no_answer": True, "offsets": "utf16", "windows": True},
    "classify": {"top_k": 2, "function": "sigmoid"},
    "ner": {"aggregation": "max", "threshold": 0.2, "ignore_labels": ["B-LOC", "O"]},
    "fill-mask": {"top_k": 2, "sequences": False},
    "next-sentence": {"second": "It was long."},
    "multiple-choice": {"choices": ["in May", "in June"]},
    "embed": {"pooling": "cls", "normalize": False},
    "generate": {"max_new_tokens": 3},
}
"""Fields beside the document; those that are not texts are given as options."""

FIELD = {"qa": "context", "multiple-choice": "prompt", "generate": "prompt", "next-sentence": "first"}


def batch(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, ["batch", *map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def write_rows(path: Path, lines: Sequence[Any]) -> Path:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    return path


def about(value: Any) -> Any:
    """Return what equals a value of JSON but for the last digits of its numbers."""
    if isinstance(value, dict):
        return {name: about(own) for name, own in value.items()}
    if isinstance(value, list):
        return [about(own) for own in value]
    return pytest.approx(value, abs=1e-5) if isinstance(value, float) else value


def as_options(fields: dict[str, Any]) -> list[str]:
    options: list[str] = []
    for name, value in fields.items():
        option = f"--{name.replace('_', '-')}"
        if value is True:
            options += [option]
        elif value is False:
            options += [f"--no-{option[2:]}"]
        else:
            options += [part for one in (value if isinstance(value, list) else [value]) for part in (option, str(one))]
    return options


async def served(bundle: Path, task: str, bodies: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    async with serve_bundle(bundle) as client:
        return [(await client.post(f"/{task}", json=body)).json() for body in bodies]


@pytest.mark.parametrize(
    "task", [pytest.param(task, marks=[] if task in ("qa", "generate") else pytest.mark.integration) for task in TASKS]
)
def test_every_answer_is_the_servers(tmp_path: Path, small_bundles: Path, task: str) -> None:
    fields, bundle = REQUESTS[task], small_bundles / f"small-{task}"
    texts = {name: value for name, value in fields.items() if name in ("second",)}
    bodies = [{FIELD.get(task, "text"): document, **fields} for document in DOCUMENTS]
    given = write_rows(tmp_path / "in.jsonl", [{FIELD.get(task, "text"): own, **texts} for own in DOCUMENTS])
    options = as_options({name: value for name, value in fields.items() if name not in texts})
    status, printed = batch(given, "--model", bundle, "--task", task, "--output", tmp_path / "out.jsonl", *options)
    expected = asyncio.run(served(bundle, task, bodies))
    answers = rows(tmp_path / "out.jsonl")
    refused = ["usage" not in answer for answer in expected]
    assert status == (3 if any(refused) else 0), printed
    assert not all(refused)
    for answer, row in zip(expected, answers, strict=True):
        if "usage" not in answer:
            assert (row["error"], row["usage"]) == (answer["detail"], None)
            continue
        usage, own = answer.pop("usage"), row.pop("usage")
        assert own == {name: usage[name] for name in own}
        answer.pop("model")
        # The sums of these small graphs depend on the shape of a batch; those of exported ones do not, and are compared
        # to the last bit in tests/end_to_end/test_bulk.py.
        assert {name: row.pop(name) for name in answer} == about(answer)
        assert set(row) <= {"row", "id", "question", "error"} and row["error"] is None


def test_rows_that_cannot_be_answered_say_why_and_end_nothing(tmp_path: Path, small_bundles: Path) -> None:
    given = tmp_path / "in.jsonl"
    long = "word " * 600
    lines = [{"body": "One."}, {"body": 5, "q": "a"}, {"body": " ", "q": "a"}, {"q": "a"}, {"body": "a", "q": long}]
    write_rows(given, lines)
    given.write_text(given.read_text() + "[1]\n")
    status, printed = batch(
        given, "--model", small_bundles / "small-qa", "--output", tmp_path / "out.jsonl", "--column", "context=body",
        "--column", "question=q", "--order", "finished",
    )  # fmt: skip
    assert status == 3 and "6 rows, 6 of them with an error" in printed
    errors = {row["row"]: row["error"] for row in rows(tmp_path / "out.jsonl")}
    assert errors[0].startswith("no column 'q' for the question; name another")
    assert errors[1] == "context (column 'body'): input should be a valid string"
    assert errors[2] == "context is empty or only whitespace"
    assert errors[3].startswith("no column 'body' for the context; name another")
    assert "question is too long" in errors[4]
    assert errors[5] == "the line is not a JSON object"


def test_questions_come_from_options_a_file_and_lists_in_rows(tmp_path: Path, small_bundles: Path) -> None:
    questions = tmp_path / "questions.txt"
    questions.write_text("Where?\n\n Who? \n")
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "a.html").write_text("<p>Maria &amp; Jan")
    model = ["--model", small_bundles / "small-qa"]
    outputs = [tmp_path / f"{number}.jsonl" for number in range(2)]
    batch(
        tmp_path / "docs",
        *model,
        "--output",
        outputs[0],
        "--question",
        "When?",
        "--questions",
        questions,
        "--keep-text",
    )
    asked = [(row["id"], row["question"], row["document"]) for row in rows(outputs[0])]
    assert asked == [(str(tmp_path / "docs" / "a.html"), own, "Maria & Jan") for own in ("When?", "Where?", "Who?")]
    given = write_rows(
        tmp_path / "in.jsonl", [{"context": "Maria", "question": ["a b", "c"]}, {"context": "J", "question": "d"}]
    )
    batch(given, *model, "--output", outputs[1])
    assert [(row["row"], row["question"]) for row in rows(outputs[1])] == [(0, "a b"), (0, "c"), (1, "d")]


def test_a_row_that_cannot_be_read_has_a_row_for_each_question(tmp_path: Path, small_bundles: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"caf\xe9")
    (tmp_path / "b.jsonl").write_text('nonsense\n{"id": "b", "context": "Maria led it."}\n')
    given = [tmp_path / "a.txt", tmp_path / "b.jsonl", "--model", small_bundles / "small-qa"]
    asked = ["--question", "Who?", "--question", "What?"]
    assert batch(*given, *asked, "--output", tmp_path / "out.jsonl")[0] == 3
    told = [(row["row"], row["question"], (row["error"] or "")[:9]) for row in rows(tmp_path / "out.jsonl")]
    assert told == [
        (0, "Who?", "not UTF-8"), (0, "What?", "not UTF-8"), (1, "Who?", "not JSON:"), (1, "What?", "not JSON:"),
        (2, "Who?", ""), (2, "What?", ""),
    ]  # fmt: skip


def test_shards_together_are_the_whole_and_the_same_command_again_does_nothing(
    tmp_path: Path, small_bundles: Path
) -> None:
    given = write_rows(tmp_path / "in.jsonl", [{"text": f"{WORDS} {number}"} for number in range(7)])
    model = ["--model", small_bundles / "small-classify"]
    whole = tmp_path / "whole.jsonl"
    assert batch(given, *model, "--output", whole)[0] == 0
    shares: list[dict[str, Any]] = []
    for index in range(3):
        assert batch(given, *model, "--output", tmp_path / f"{index}.jsonl", "--shard", f"{index}/3")[0] == 0
        shares += rows(tmp_path / f"{index}.jsonl")
    assert sorted(shares, key=lambda row: row["row"]) == rows(whole)
    before = whole.stat()
    assert batch(given, *model, "--output", whole)[0] == 0
    assert whole.stat() == before
    status, printed = batch(given, *model, "--output", whole, "--top-k", 1)
    assert status == 1 and "options was {} and is" in printed
    assert batch(given, *model, "--output", whole, "--top-k", 1, "--restart")[0] == 0
    assert len(rows(whole)[0]["labels"]) == 1


def test_what_a_table_leaves_empty_was_not_given(tmp_path: Path, small_bundles: Path) -> None:
    given = tmp_path / "in.csv"
    given.write_text("id,context,n\n7,Maria led it.,\n,Maria led it.,1\n,,1\n", "utf-8")
    out = tmp_path / "out.jsonl"
    command = [given, "--model", small_bundles / "small-qa", "--question", "Who?", "--column", "top_k=n"]
    assert batch(*command, "--output", out)[0] == 3
    assert [row["id"] for row in rows(out)] == ["7", f"{given}:3", f"{given}:4"]
    assert [row["error"] for row in rows(out)] == [None, None, "context: string should have at least 1 character"]


def test_a_mended_input_of_a_job_without_rows_is_no_other_job(tmp_path: Path, small_bundles: Path) -> None:
    given = tmp_path / "in.jsonl"
    command = [given, "--model", small_bundles / "small-classify", "--output", tmp_path / "out.jsonl"]
    given.write_text('{"text": "one"}', "utf-16")
    assert batch(*command) == (1, f"Error: {given}: is UTF-16; save it as UTF-8\n")
    given.write_text('{"text": "one"}', "utf-8")
    assert batch(*command)[0] == 0


def test_a_changed_input_is_refused(tmp_path: Path, small_bundles: Path) -> None:
    given = write_rows(tmp_path / "in.jsonl", [{"text": "one"}])
    command = [given, "--model", small_bundles / "small-classify", "--output", tmp_path / "out.jsonl"]
    assert batch(*command)[0] == 0
    write_rows(given, [{"text": "two"}])
    status, printed = batch(*command)
    assert status == 1 and "input files was" in printed and "--restart" in printed


def test_parquet_out_holds_what_json_lines_hold(tmp_path: Path, small_bundles: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    given = write_rows(tmp_path / "in.jsonl", [{"id": "a", "context": "Maria led it."}, {"id": "b", "context": " "}])
    command = [given, "--model", small_bundles / "small-qa", "--question", "Who?", "--top-k", 2]
    for ending in ("jsonl", "parquet"):
        assert batch(*command, "--output", tmp_path / f"out.{ending}")[0] == 3
    table = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    for row in table:
        assert row.pop("windows") is row.pop("answer_type") is row.pop("answer_type_score") is None
    assert table == rows(tmp_path / "out.jsonl")


def test_large_rows_are_not_held_together_on_their_way_to_parquet(
    tmp_path: Path, small_bundles: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    monkeypatch.setattr("bulk.parquet_output._BYTES_AT_ONCE", 3000)
    given = write_rows(tmp_path / "in.jsonl", [{"id": str(number), "text": "one " * 250} for number in range(5)])
    out = tmp_path / "out.parquet"
    assert batch(given, "--model", small_bundles / "small-classify", "--keep-text", "--output", out)[0] == 0
    file = parquet.ParquetFile(out)
    assert [file.metadata.row_group(number).num_rows for number in range(file.num_row_groups)] == [3, 2]
    assert file.read().column("id").to_pylist() == ["0", "1", "2", "3", "4"]


def test_names_that_are_not_unicode_are_escaped_in_parquet(tmp_path: Path, small_bundles: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    (tmp_path / "in.jsonl").write_text(r'{"id": "\ud800", "text": "one"}')
    command = [tmp_path / "in.jsonl", "--model", small_bundles / "small-classify", "--output"]
    assert batch(*command, tmp_path / "out.parquet")[0] == batch(*command, tmp_path / "out.jsonl")[0] == 0
    (row,) = parquet.read_table(tmp_path / "out.parquet").to_pylist()
    assert (row["id"], rows(tmp_path / "out.jsonl")[0]["id"]) == (r"\ud800", "\ud800")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        pytest.param(["--output", "out.csv"], "is neither .jsonl nor .parquet", id="an ending"),
        pytest.param(["--output", "none/out.jsonl"], "make it first", id="no folder"),
        pytest.param(["--output", "out.jsonl", "--task", "ner"], "the bundle is for qa", id="another task"),
        pytest.param(["--output", "out.jsonl", "--top-k", "0"], "--top-k of qa: input should be greater", id="a limit"),
        pytest.param(["--output", "out.jsonl", "--pooling", "cls"], "--pooling is for --task embed", id="an option"),
        pytest.param(["--output", "out.jsonl", "--column", "body=b"], "the task's fields are", id="no such field"),
        pytest.param(["--output", "out.jsonl", "--shard", "4/4"], "the first is 0/4 and the last 3/4", id="a shard"),
        pytest.param(["--output", "out.jsonl", "--shard", f"0/{'9' * 5000}"], "is not a shard", id="a long number"),
        pytest.param(["--output", "out.jsonl", "--threads", "-1"], "--threads", id="threads"),
        pytest.param(["--output", "out.jsonl", "--threads", "99999"], "--threads", id="too many threads"),
        pytest.param(["--output", "out.jsonl", "--question", " "], "--question is empty", id="an empty question"),
        pytest.param(["--output", "out.jsonl", "--max-seconds-a-file", "nan"], "not a number", id="no number"),
        pytest.param(["--output", "out.jsonl", "--max-seconds-a-file", "inf"], "--max-seconds", id="no end"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(
    tmp_path: Path, small_bundles: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    write_rows(Path("in.jsonl"), [{"context": "a"}])
    status, printed = batch("in.jsonl", "--model", small_bundles / "small-qa", *arguments)
    assert status in (1, 2) and message in " ".join(printed.split())
    assert not Path("out.jsonl").exists()


def test_a_disk_without_room_ends_the_job_with_one_line_and_loses_nothing(tmp_path: Path, small_bundles: Path) -> None:
    given = write_rows(tmp_path / "in.jsonl", [{"text": f"{WORDS} {number}"} for number in range(200)])
    command = [
        "batch",
        str(given),
        "--model",
        str(small_bundles / "small-ner"),
        "--output",
        str(tmp_path / "out.jsonl"),
    ]

    def run(largest_file: int) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (largest_file, resource.RLIM_INFINITY))

        return subprocess.run(
            [sys.executable, "-m", "bigbird_cli", *command],
            cwd=ROOT, preexec_fn=limit, capture_output=True, text=True, check=False,
        )  # fmt: skip

    ended = run(100_000)
    assert ended.returncode == 1
    (line,) = [line for line in ended.stderr.splitlines() if not line.startswith("batch:")]
    assert "File too large" in line and "run the same command again to go on" in line
    part = tmp_path / "out.jsonl.job" / "part.rows"
    kept = part.read_bytes().splitlines()[:-1]
    assert len(kept) > 10
    assert run(resource.RLIM_INFINITY).returncode == 0
    assert len({row["row"] for row in rows(tmp_path / "out.jsonl")}) == 200
    assert all(line.split(b" ", 6)[6] in (tmp_path / "out.jsonl").read_bytes().splitlines() for line in kept)
