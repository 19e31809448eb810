"""Parsers that crash, hang or take all memory: what a file of HTML says here, a parser of ours does."""

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from documents.document import Box, Mark
from documents.errors import DocumentError
from documents.limits import Limits
from documents.parsers import Parsers

ROOT = Path(__file__).resolve().parents[2]
PARSER = """
import os

def extract_plain_text(source, **options):
    if source == "crash":
        os.abort()
    if source == "hang":
        while True:
            pass
    if source == "raise":
        raise RuntimeError("two\\nlines")
    if source == "grow":
        return str(len(bytearray(2_000_000_000)))
    if source == "write":
        open(__file__ + ".out", "w").write("x" * 10_000)
    if source == "print":
        print("x" * 10_000, flush=True)
    return f"{source} {os.getpid()}"
"""


@pytest.fixture
def parser(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Have processes import a parser of ours."""
    for name in (".", "extract", "parse"):
        (tmp_path / "resiliparse" / name).mkdir()
        (tmp_path / "resiliparse" / name / "__init__.py").touch()
    (tmp_path / "resiliparse" / "extract" / "html2text.py").write_text(PARSER)
    (tmp_path / "resiliparse" / "parse" / "encoding.py").write_text("bytes_to_str = detect_encoding = None\n")
    monkeypatch.syspath_prepend(str(tmp_path))


@pytest.fixture
def parsers(parser: None) -> Iterator[Parsers]:
    with Parsers(Limits(seconds=1, memory_megabytes=500)) as own:
        yield own


def asked(parsers: Parsers, content: bytes) -> str:
    try:
        return parsers.read(content, "html").text
    except DocumentError as error:
        return str(error)


@pytest.mark.parametrize(
    ("content", "told", "survives"),
    [
        pytest.param(b"crash", "its parser crashed (signal 6)", False, id="a crash"),
        pytest.param(
            b"hang",
            "not parsed after 1 s; split it, or raise --max-seconds-a-file",
            False,
            id="a hang",
            marks=pytest.mark.integration,
        ),
        pytest.param(b"raise", "RuntimeError: two lines; save it again", True, id="an error"),
        pytest.param(b"grow", "takes more than 500 MB of memory", True, id="too much memory"),
        pytest.param(b"write", "File too large", True, id="writing to a file"),
        pytest.param(b"print", "print ", True, id="printing", marks=pytest.mark.integration),
    ],
)
def test_a_parser_that_fails_costs_one_file(parsers: Parsers, content: bytes, told: str, survives: bool) -> None:
    before = asked(parsers, b"pid").split()[1]
    assert told in asked(parsers, content)
    assert (asked(parsers, b"pid").split()[1] == before) is survives


def ends(process: int) -> bool:
    """Wait until a process has ended; it may be nobody's child here."""
    try:
        handle = os.pidfd_open(process)
    except ProcessLookupError:
        return True
    try:
        return bool(select.select([handle], [], [], 60)[0])
    finally:
        os.close(handle)


@pytest.mark.skipif(not hasattr(os, "pidfd_open"), reason="waits by Linux's means")
@pytest.mark.parametrize(
    "busy", [pytest.param(False, id="waiting", marks=pytest.mark.integration), pytest.param(True, id="busy")]
)
def test_no_process_is_left_when_its_owner_is_killed(parser: None, busy: bool) -> None:
    script = (
        "import sys\n"
        "from documents.limits import Limits\n"
        "from documents.parsers import Parsers\n"
        "parsers = Parsers(Limits(seconds=1000))\n"
        "print(parsers.read(b'pid', 'html').text, flush=True)\n"
        f"{'parsers.read' if busy else 'sys.stdin.read'}(*{(b'hang', 'html') if busy else ()})\n"
    )
    paths = os.pathsep.join([*sys.path, str(ROOT)])
    owner = subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        env=os.environ | {"PYTHONPATH": paths},
    )  # fmt: skip
    with owner:
        assert owner.stdout is not None
        child = int(owner.stdout.readline().split()[1])
        owner.send_signal(signal.SIGKILL)
    assert ends(child)


def test_all_processes_have_ended_with_the_block(parser: None) -> None:
    with Parsers(Limits(), processes=2) as parsers:
        children = {int(asked(parsers, b"pid").split()[1])}
        hanging = parsers.submit(b"hang", "html")
        children.add(int(asked(parsers, b"pid").split()[1]))
    assert len(children) == 2
    for child in children:
        with pytest.raises(ProcessLookupError):
            os.kill(child, 0)
    with pytest.raises(DocumentError):
        hanging.result()


def test_a_document_comes_out_of_its_process_as_it_was_read() -> None:
    path = ROOT / "examples" / "contracts" / "supply-agreement.pdf"
    with Parsers(Limits()) as parsers:
        document, copy = parsers.read(path, "pdf"), parsers.submit(path.read_bytes(), "pdf").result()
        place = document.text.index("Casablanca")
        (box,) = document.locate(place, place + len("Casablanca"))
        assert box == Box(2, 231.41, 112.78, 281.51, 123.78)
        assert document.boxes is not None and copy.boxes is not None
        assert (copy.text, copy.pages) == (document.text, document.pages)
        assert copy.boxes.tobytes() == document.boxes.tobytes()
        marked = parsers.submit_highlight(path, [Mark([box], "Where?")]).result()
    assert marked.startswith(path.read_bytes())
