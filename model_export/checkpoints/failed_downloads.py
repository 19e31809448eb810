"""What stands in a file's place where a download went wrong: a pointer, a page, a server's answer, or nothing."""

import re
from codecs import getincrementaldecoder
from pathlib import Path

# In bytes.
_READ_OF_START = 256
_LONGEST_QUOTED = 100
_PAGES = (b"<!doctype html", b"<html", b"<?xml")
# Of the Hugging Face hub and of GitHub, saved by a download that did not look at the status. No file of a checkpoint
# begins like that.
_ANSWER = re.compile(
    rb"entry not found|repository not found|invalid username or password|404: not found|access to (model|dataset) "
    rb'|\{\s*"(error|message)"\s*:'
)
_AGAIN = "download it again, with a login if the model is private or gated"


def not_the_contents(path: Path) -> str | None:
    """Return what a file holds in place of what its name promises, and what to do; None if nothing of that kind."""
    start = beginning(path)
    if start.startswith(b"version https://git-lfs.github.com/spec/"):
        return f"is a Git LFS pointer, not the file; run `git lfs pull` in {path.parent}"
    text = start.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    if text.startswith(_PAGES):
        return "is a web page, not the file; download it again, with a login if the page asks for one"
    if _ANSWER.match(text):
        return f"is a server's answer, {_first_line(start)!r}, not the file; {_AGAIN}"
    return None


def how_it_is_spoilt(start: bytes) -> str | None:
    """Return what is wrong with a file that should hold numbers and whose reader refuses it, and what to do.

    Args:
        start: What it begins with.

    Returns:
        None if it is neither empty nor text.
    """
    if not start:
        return "it is empty; download or copy it again"
    try:
        text = getincrementaldecoder("utf-8")().decode(start[:_READ_OF_START])  # whose last character may be cut
    except UnicodeDecodeError:
        return None
    if all(character.isprintable() or character.isspace() for character in text):
        return f"it is a text, {_first_line(start)!r}, perhaps a server's answer; {_AGAIN}"
    return None


def beginning(path: Path) -> bytes:
    """Return what a file begins with; nothing if it cannot be opened, which is told by whoever reads it."""
    try:
        with path.open("rb") as stream:
            return stream.read(_READ_OF_START)
    except OSError:
        return b""


def _first_line(start: bytes) -> str:
    text = start[:_READ_OF_START].decode("utf-8", errors="replace").removeprefix("\ufeff").strip()
    return text.split("\n")[0].strip()[:_LONGEST_QUOTED]
