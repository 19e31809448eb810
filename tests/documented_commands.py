"""The commands of a page, as they stand there, and what the page says that they print."""

import contextlib
import io
import os
import re
import runpy
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main

ROOT = Path(__file__).resolve().parents[1]
_BLOCK = re.compile(r"^```(sh|text)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_SHELL = re.compile(r"^```(?:sh|bash)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_OTHER = re.compile(r"^```.*?^```$", re.MULTILINE | re.DOTALL)
_INDENTED = re.compile(r"^(?: {4,}\S.*\n)+", re.MULTILINE)
_HERE_DOCUMENT = re.compile(r"^cat > .*?<<'END'\n.*?^END\n", re.MULTILINE | re.DOTALL)
_PROGRAMS = r"make|python3?|pip|bigbird|curl|docker|kubectl|git|export|taskset|\.venv/\S+|deploy/\S+\.sh"
_COMMAND = re.compile(rf"\s*(?:[A-Z_]+=\S+ )*(?:{_PROGRAMS})(?: |$)")
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


def printed(page: Path) -> list[str]:
    """Return every command of a page: in shell blocks everything, elsewhere the lines that begin with a program."""
    text = page.read_text(encoding="utf-8")
    shell = "".join(_SHELL.findall(text))
    indented = re.sub(r"\\\n\s*", "", "".join(_INDENTED.findall(_OTHER.sub("", text))))
    lines = [line for line in indented.splitlines() if _COMMAND.match(line)]
    return [*_whole(_HERE_DOCUMENT.sub("", shell).splitlines()), *(line.strip() for line in lines)]


def _whole(lines: Sequence[str]) -> Iterator[str]:
    """Join the lines of a command whose quotation goes over several."""
    command = ""
    for line in lines:
        command += line
        try:
            shlex.split(command)
        except ValueError:
            command += "\n"
        else:
            yield command
            command = ""


def run(words: Sequence[str], folder: Path, url: str = ELSEWHERE) -> str:
    """Run a command as if the folder were the project's, and return everything that it prints."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    link_environment(folder)
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


def run_here(words: Sequence[str], folder: Path) -> str:
    """Run a command of ours in this process, which has imported torch already; return its standard output."""
    program, *arguments = words
    link_environment(folder)
    handler = signal.getsignal(signal.SIGTERM)
    try:
        with contextlib.chdir(folder):
            if program == ".venv/bin/bigbird":
                done = CliRunner().invoke(main, arguments)
                assert done.exit_code == 0, f"{shlex.join(words)}\n{done.output}"
                return done.stdout
            assert (program, arguments[0]) == (".venv/bin/python", "-m")
            with pytest.MonkeyPatch.context() as patch, contextlib.redirect_stdout(io.StringIO()) as output:
                patch.setattr(sys, "argv", arguments[1:])
                runpy.run_module(arguments[1], run_name="__main__")
            return output.getvalue()
    finally:
        signal.signal(signal.SIGTERM, handler)


def link_environment(folder: Path) -> None:
    """Give a folder what commands find in the project's: the environment and the examples."""
    for name, place in ((".venv", Path(sys.prefix)), ("examples", ROOT / "examples")):
        if not (folder / name).exists():
            (folder / name).symlink_to(place)


def missing_lines(printed: str, documented: str) -> Iterator[str]:
    """Yield the documented lines that were not printed; digits may differ, and `...` stands for anything."""
    lines = [_without_digits(line) for line in printed.splitlines()]
    for line in documented.splitlines():
        pattern = re.escape(_without_digits(line)).replace(re.escape("..."), ".*")
        if not any(re.fullmatch(pattern, own) for own in lines):
            yield line


def _without_digits(line: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"[\d.,]*\d|-(?=\d)", "0", line)).strip()
