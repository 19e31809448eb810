"""The commands of a page, as they stand there, and what the page says that they print."""

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
ELSEWHERE = "http://127.0.0.1:8000"


@dataclass(frozen=True, slots=True)
class Documented:
    """A command and, where the page has it, its output."""

    words: Sequence[str]
    output: str = ""


def commands(page: str) -> list[Documented]:
    """Return the commands of a page's shell blocks; a text block is the output of the command before it."""
    found: list[Documented] = []
    for kind, block in _BLOCK.findall((ROOT / "docs" / page).read_text(encoding="utf-8")):
        if kind == "sh":
            found += [Documented(shlex.split(line)) for line in block.splitlines()]
        else:
            found[-1] = Documented(found[-1].words, block)
    return found


def run(words: Sequence[str], folder: Path, url: str = ELSEWHERE) -> str:
    """Run a command in a folder that has the examples, and return everything that it prints."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(
        [word.replace(ELSEWHERE, url) for word in words],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    assert done.returncode == 0, f"{shlex.join(words)}\n{done.stdout}"
    return done.stdout


def missing_lines(printed: str, documented: str) -> Iterator[str]:
    """Yield the documented lines that were not printed; digits may differ, and `...` stands for anything."""
    lines = [_without_digits(line) for line in printed.splitlines()]
    for line in documented.splitlines():
        pattern = re.escape(_without_digits(line)).replace(re.escape("..."), ".*")
        if not any(re.fullmatch(pattern, own) for own in lines):
            yield line


def _without_digits(line: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]*\d|-(?=\d)", "0", line)).strip()
