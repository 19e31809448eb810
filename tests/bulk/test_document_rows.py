"""`bigbird batch` and `bigbird text` on documents with pages."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import docx
import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from bulk.errors import JobError
from bulk.highlights import check_folder, write_highlights
from documents.limits import Limits
from documents.parsers import Parsers
from documents.reading import read_document

ROOT = Path(__file__).resolve().parents[2]
CONTRACT = ROOT / "examples" / "contracts" / "supply-agreement.pdf"
NOWHERE = {"page": None, "boxes": None}


def run(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(main, [*map(str, arguments)])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.output


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "contracts"
    folder.mkdir()
    shutil.copy(CONTRACT, folder / "a.pdf")
    letter = docx.Document()
    letter.add_paragraph("Maria Okafor led the survey.")
    letter.save(folder / "b.docx")
    (folder / "c.pdf").write_bytes(CONTRACT.read_bytes()[:700])
    return folder


def place_of(span: dict[str, Any]) -> dict[str, Any]:
    return {name: span[name] for name in NOWHERE}


@pytest.mark.parametrize("offsets", ["code_points", pytest.param("utf8", marks=pytest.mark.integration)])
def test_answers_have_pages_and_boxes_and_copies_have_them_marked(
    tmp_path: Path, small_bundles: Path, folder: Path, offsets: str
) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    command = ["batch", folder, "--model", small_bundles / "small-qa", "--question", "Who?", "--top-k", 2]
    command += ["--offsets", offsets, "--keep-text"]
    assert run(*command, "--output", tmp_path / "out.jsonl", "--highlight", tmp_path / "marked")[0] == 3
    pdf, word, broken = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    read = read_document(CONTRACT, "pdf", Limits())
    assert pdf["document"] == read.text
    for span in (pdf, *pdf["alternatives"]):
        start = read.text.index(span["answer"]) if offsets == "utf8" else span["start"]
        boxes = read.locate(start, start + len(span["answer"]))
        assert place_of(span)["page"] == boxes[0].page
        assert [tuple(box.values()) for box in span["boxes"]] == [
            (box.page, box.x0, box.top, box.x1, box.bottom) for box in boxes
        ]
    assert word["answer"] and place_of(word) == place_of(word["alternatives"][0]) == NOWHERE
    assert "a broken PDF" in broken["error"] and place_of(broken) == NOWHERE
    copy = tmp_path / "marked" / "0-a.pdf"
    assert copy.read_bytes().startswith(CONTRACT.read_bytes()) and b"/Highlight" in copy.read_bytes()
    assert [path.name for path in (tmp_path / "marked").iterdir()] == ["0-a.pdf"]
    assert run(*command, "--output", tmp_path / "out.parquet")[0] == 3
    for row, expected in zip(
        parquet.read_table(tmp_path / "out.parquet").to_pylist(), (pdf, word, broken), strict=True
    ):
        assert {name: row[name] for name in expected} == expected


def test_entities_have_pages_and_boxes(tmp_path: Path, small_bundles: Path) -> None:
    assert run("batch", CONTRACT, "--model", small_bundles / "small-ner", "--output", tmp_path / "out.jsonl")[0] == 0
    (row,) = (json.loads(line) for line in (tmp_path / "out.jsonl").read_text("utf-8").splitlines())
    assert "page" not in row and row["entities"]
    assert {entity["page"] for entity in row["entities"]} == {1, 2}
    assert all(entity["boxes"] for entity in row["entities"])


def test_a_copy_that_was_half_written_is_written_again(tmp_path: Path) -> None:
    row = {"row": 7, "id": str(CONTRACT), "question": "Who?", "boxes": [
        {"page": 1, "x0": 91.0, "top": 148.8, "x1": 166.1, "bottom": 159.8}
    ]}  # fmt: skip
    (tmp_path / "7-supply-agreement.pdf").write_bytes(b"%PDF half")
    (tmp_path / ".7-supply-agreement.pdf.new").write_bytes(b"%PDF")
    with Parsers(Limits()) as parsers:
        write_highlights([json.dumps(row).encode(), json.dumps({**row, "boxes": None}).encode()], tmp_path, parsers)
    (copy,) = tmp_path.iterdir()
    assert copy.read_bytes().startswith(CONTRACT.read_bytes())
    assert read_document(copy, "pdf", Limits()).text == read_document(CONTRACT, "pdf", Limits()).text


def test_a_copy_of_a_file_with_the_longest_name_has_a_shorter_one(tmp_path: Path, small_bundles: Path) -> None:
    contract = tmp_path / f"{'ä' * 125}.pdf"
    shutil.copy(CONTRACT, contract)
    command = ["batch", contract, "--model", small_bundles / "small-qa", "--question", "Who?"]
    assert run(*command, "--output", tmp_path / "out.jsonl", "--highlight", tmp_path / "marked")[0] == 0
    (copy,) = (tmp_path / "marked").iterdir()
    assert copy.name == f"0-{'ä' * 122}.pdf" and copy.read_bytes().startswith(CONTRACT.read_bytes())


def test_a_restart_that_cannot_have_its_folder_deletes_no_rows(tmp_path: Path, small_bundles: Path) -> None:
    command = ["batch", CONTRACT, "--model", small_bundles / "small-qa", "--question", "Who?"]
    command += ["--output", tmp_path / "out.jsonl", "--highlight", tmp_path / "marked"]
    assert run(*command)[0] == 0
    assert "is not empty" in run(*command, "--restart")[1]
    status, printed = run(*command)
    assert status == 0 and "out.jsonl: 1 rows" in printed


@pytest.mark.parametrize(
    ("given", "place", "message"),
    [
        pytest.param("in", "in/marked", "would be part of the input", id="in a folder of the inputs"),
        pytest.param("in/**/*.pdf", "in/marked", "would be part of the input", id="where a pattern looks"),
        pytest.param("in", "full", "is not empty", id="with files of others"),
        pytest.param("s3://b/in/", "new", "files of this machine; download s3://b/in/", id="of objects in a store"),
        pytest.param("in/*.pdf", "in/marked", None, id="below a pattern's folder"),
        pytest.param("in", "new/marked", None, id="new"),
    ],
)
def test_copies_go_where_no_other_file_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str, place: str, message: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("in", "full"):
        Path(name).mkdir()
    Path("full/a.pdf").touch()
    if message is None:
        check_folder(Path(place), [given], begun=False)
        assert Path(place).is_dir()
    else:
        with pytest.raises(JobError, match=message):
            check_folder(Path(place), [given], begun=False)


def test_text_is_shown_with_its_pages_and_boxes(folder: Path) -> None:
    status, printed = run("text", CONTRACT, "--page-marks")
    assert status == 0 and printed.index("--- page 2 ---") < printed.index("Miareis Station")
    printed = json.loads(run("text", CONTRACT, "--json", "--boxes")[1])
    document = read_document(CONTRACT, "pdf", Limits())
    assert printed["text"] == document.text and len(printed["boxes"]) == len(document.text)
    second = printed["pages"][1]
    assert second["page"] == 2 and document.text[second["start"] : second["end"]].startswith("3. Place of delivery")
    assert printed["boxes"][document.text.index("\n")] is None
    assert run("text", folder / "b.docx") == (0, "Maria Okafor led the survey.\n")
    status, printed = run("text", folder / "c.pdf")
    assert status == 1 and "c.pdf: a broken PDF; repair it" in printed
    assert "raise --max-pages" in run("text", CONTRACT, "--max-pages", 1)[1]


def test_text_is_utf8_whatever_the_locale_is(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("5 €", "utf-8")
    command = [sys.executable, "-m", "bigbird_cli", "text", str(tmp_path / "a.txt")]
    environment = os.environ | {"PYTHONIOENCODING": "latin-1"}
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "5 €\n".encode())


def test_a_full_disk_is_one_line(folder: Path) -> None:
    command = [sys.executable, "-m", "bigbird_cli", "text", str(folder / "b.docx")]
    with open("/dev/full", "wb") as full:
        ended = subprocess.run(command, cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    told = "Error: standard output cannot be written: No space left on device; make room\n"
    assert (ended.returncode, ended.stderr) == (1, told)
