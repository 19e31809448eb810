from pathlib import Path

import pytest

from bulk.errors import JobError
from bulk.job import Job, run_job
from bulk.own_files import refuse_own_files, would_be_input

S3 = "s3://bucket"


@pytest.mark.parametrize(
    ("place", "given", "expected"),
    [
        pytest.param("in/out.jsonl", "in", True, id="in a folder"),
        pytest.param("in/rows.jsonl", "in/../in/rows.jsonl", True, id="the same file under another name"),
        pytest.param("link.jsonl", "in/rows.jsonl", True, id="a link to it"),
        pytest.param("in/out.jsonl", "in/*.jsonl", True, id="where a pattern looks"),
        pytest.param("in/out.jsonl.job/rows.jsonl", "**/*.jsonl", True, id="where a pattern of all folders looks"),
        pytest.param("in/deep/out.jsonl", "in/*.jsonl", False, id="below where a pattern looks"),
        pytest.param("out.jsonl", "in", False, id="beside a folder"),
        pytest.param(f"{S3}/out.jsonl", f"{S3}/*.jsonl", True, id="an object where a pattern looks"),
        pytest.param(f"{S3}/out.jsonl", "*/*.jsonl", False, id="an object, and a pattern of files"),
        pytest.param("out.jsonl", f"{S3}/*.jsonl", False, id="a file, and a pattern of objects"),
    ],
)
def test_what_would_be_read_is_known(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, given: str, expected: bool
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("in").mkdir()
    Path("in/rows.jsonl").touch()
    Path("link.jsonl").symlink_to("in/rows.jsonl")
    assert would_be_input(place, given) is expected
    if expected:
        with pytest.raises(JobError, match=r"would be part of the input .*; name another place"):
            refuse_own_files("--output", [place], ["else.jsonl", given])


@pytest.mark.parametrize(
    ("given", "output"),
    [
        pytest.param("rows.jsonl", "rows.jsonl", id="its own input"),
        pytest.param("*.jsonl", "out.jsonl", id="among its inputs"),
        pytest.param("**/rows.*", "out.jsonl", id="its state among its inputs"),
    ],
)
def test_an_input_is_never_written_over_and_an_output_never_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, output: str
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("rows.jsonl").write_text('{"text": "mine"}\n')
    with pytest.raises(JobError, match="would be part of the input"):
        run_job(Job([given], output, restart=True), lambda: pytest.fail("the model is not needed"))
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]
    assert Path("rows.jsonl").read_text() == '{"text": "mine"}\n'
