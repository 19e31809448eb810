"""2,000 broken and hostile files, read as `bigbird batch` reads them: each gives a text or one line, and nothing stays.

python -m pytest -m slow tests/documents/test_hostile_documents.py
"""

import collections
import re
import resource
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

pytestmark = pytest.mark.slow

PDFS, DOCX_FILES = 1_400, 600
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
    files = [file for folder in (foreign_folder, own_pdfs) for file in sorted(folder.iterdir())]
    pdfs = [content for content in (file.read_bytes() for file in files) if 0 < len(content) < LARGEST_SOURCE]
    documents = docx_sources(tmp_path)
    inbox = tmp_path / "inbox"
    inbox.mkdir()
    before, start = resident_megabytes(), time.monotonic()
    outcomes: collections.Counter[str] = collections.Counter()
    with Parsers(LIMITS, processes=2) as parsers:
        for first in range(0, PDFS + DOCX_FILES, AT_ONCE):
            waiting = {}
            for number in range(first, min(first + AT_ONCE, PDFS + DOCX_FILES)):
                kind: Kind = "pdf" if number < PDFS else "docx"
                file = inbox / f"{number}.{kind}"
                file.write_bytes(mutated_pdf(number, pdfs) if kind == "pdf" else mutated_docx(number, documents))
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
