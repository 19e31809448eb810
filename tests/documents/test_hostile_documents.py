"""2,000 broken and hostile files, read as `bigbird batch` reads them: each gives a text or one line, and nothing stays.

python -m pytest -m slow tests/documents/test_hostile_documents.py
"""

import collections
import json
import re
import resource
import subprocess
import sys
import time
import uuid
from concurrent.futures import Future
from pathlib import Path

import docx
import pytest

from documents.document import Document
from documents.errors import DocumentError
from documents.limits import Limits
from documents.parsers import Parsers
from documents.reading import Kind
from tests.documents.mutations import mutated_docx, mutated_pdf
from tests.reliability.small_bundles import write_small_bundles

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
PDFS, DOCX_FILES = 1_400, 600
IN_THE_FOLDER = range(0, PDFS + DOCX_FILES, 10)
QUESTIONS = ("Who pays?", "How much?")
AT_ONCE = 8
LIMITS = Limits(megabytes=20, seconds=10, memory_megabytes=512)
# What the interpreter and the libraries have before they read anything, and what is freed late.
BASE_MEGABYTES, GROWTH_MEGABYTES = 250, 250
LARGEST_SOURCE = 200_000
MARK = "BIGBIRD_TESTS_MARK"


@pytest.fixture
def mark(monkeypatch: pytest.MonkeyPatch) -> bytes:
    """Something that every process that is started from now on has in its environment, and no other one."""
    value = uuid.uuid4().hex
    monkeypatch.setenv(MARK, value)
    return f"{MARK}={value}".encode()


def marked_processes(mark: bytes) -> list[str]:
    found = []
    for folder in Path("/proc").iterdir():
        try:
            if folder.name.isdecimal() and mark in (folder / "environ").read_bytes():
                found.append((folder / "cmdline").read_bytes().replace(b"\0", b" ").decode())
        except OSError:
            continue
    return found


def docx_sources(folder: Path) -> list[bytes]:
    document = docx.Document()
    document.add_heading("Lease", 1)
    for number in range(1, 20):
        document.add_paragraph(f"{number}. The tenant pays 1,250 euros on the first working day of each month.")
    table = document.add_table(3, 3)
    for number in range(9):
        table.cell(number // 3, number % 3).text = f"{number}00 euros"
    document.sections[0].header.paragraphs[0].text = "A header"
    document.save(str(folder / "lease.docx"))
    return [(folder / "lease.docx").read_bytes()]


def pdf_sources(*folders: Path) -> list[bytes]:
    contents = (file.read_bytes() for folder in folders for file in sorted(folder.iterdir()))
    return [content for content in contents if 0 < len(content) < LARGEST_SOURCE]


def write_hostile(folder: Path, number: int, pdfs: list[bytes], documents: list[bytes]) -> tuple[Path, Kind]:
    kind: Kind = "pdf" if number < PDFS else "docx"
    file = folder / f"{number:04d}.{kind}"
    file.write_bytes(mutated_pdf(number, pdfs) if kind == "pdf" else mutated_docx(number, documents))
    return file, kind


def resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


def outcome(reading: "Future[Document]") -> str:
    """Return what became of a file, without numbers."""
    try:
        document = reading.result()
    except DocumentError as error:
        said = str(error)
        assert said == said.strip() and len(said.splitlines()) == 1 and len(said) < 400, said
        return re.sub(r"[0-9,]+", "N", said)[:60]
    assert "root:" not in document.text
    assert document.boxes is None or len(document.boxes) == len(document.text)
    document.text.encode()
    return "text"


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads what processes there are from /proc")
def test_hostile_files_crash_nothing_and_leave_no_process(
    foreign_folder: Path, own_pdfs: Path, tmp_path: Path, mark: bytes
) -> None:
    pdfs, documents = pdf_sources(foreign_folder, own_pdfs), docx_sources(tmp_path)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    before, start = resident_megabytes(), time.monotonic()
    outcomes: collections.Counter[str] = collections.Counter()
    with Parsers(LIMITS, processes=2) as parsers:
        for first in range(0, PDFS + DOCX_FILES, AT_ONCE):
            waiting = {}
            for number in range(first, min(first + AT_ONCE, PDFS + DOCX_FILES)):
                file, kind = write_hostile(inbox, number, pdfs, documents)
                waiting[file] = parsers.submit(file, kind)
            for file, reading in waiting.items():
                outcomes[f"{file.suffix[1:]}: {outcome(reading)}"] += 1
                file.unlink()
        assert parsers.read(pdfs[0], "pdf").text and parsers.read(documents[0], "docx").text
        assert 1 <= len(marked_processes(mark)) <= 2
    print(f"{time.monotonic() - start:.0f} s", *outcomes.most_common(), sep="\n")
    assert marked_processes(mark) == []
    assert sum(outcomes.values()) == PDFS + DOCX_FILES
    assert not list(inbox.iterdir()) and not (tmp_path / "outside.txt").exists()
    largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1e3
    assert largest < LIMITS.memory_megabytes + BASE_MEGABYTES
    assert resident_megabytes() < before + GROWTH_MEGABYTES


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads what processes there are from /proc")
def test_a_folder_of_hostile_files_gives_every_file_its_rows(
    foreign_folder: Path, own_pdfs: Path, tmp_path: Path, mark: bytes
) -> None:
    pdfs, documents = pdf_sources(foreign_folder, own_pdfs), docx_sources(tmp_path)
    inbox, output, marked = tmp_path / "inbox", tmp_path / "out.jsonl", tmp_path / "marked"
    inbox.mkdir()
    files = [write_hostile(inbox, number, pdfs, documents)[0] for number in IN_THE_FOLDER]
    before = {file: file.read_bytes() for file in files}
    write_small_bundles(tmp_path, ("qa",))
    asked = [option for question in QUESTIONS for option in ("--question", question)]
    command = ["batch", inbox, "--model", tmp_path / "small-qa", "--output", output, "--highlight", marked, *asked]
    limits = ["--max-file-megabytes", f"{LIMITS.megabytes}", "--max-seconds-a-file", f"{LIMITS.seconds}"]
    ended = subprocess.run(
        [sys.executable, "-m", "bigbird_cli", *map(str, command), *limits],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert marked_processes(mark) == []
    assert ended.returncode == 3 and "Traceback" not in ended.stderr, ended.stderr
    rows = [json.loads(line) for line in output.read_text("utf-8").splitlines()]
    assert [(row["id"], row["question"]) for row in rows] == [(str(file), own) for file in files for own in QUESTIONS]
    assert all((row["error"] is None) != (row["answer"] is None) for row in rows)
    assert all(len(row["error"].splitlines()) == 1 for row in rows if row["error"] is not None)
    answered = {row["row"] for row in rows if row["error"] is None}
    print(f"{len(answered)} of {len(files)} files have answers", ended.stderr, sep="\n")
    assert answered and {int(copy.name.partition("-")[0]) for copy in marked.iterdir()} <= answered
    assert {file: file.read_bytes() for file in inbox.iterdir()} == before
    assert not (tmp_path / "outside.txt").exists()
