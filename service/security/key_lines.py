"""The lines in which keys are configured, one for each key: its name and its hash, `reporting sha256:9f86d0...`.

A file holds one on each line, a variable several behind each other with commas; `#` begins a comment in a file. What is
wrong is told with the place and never with the line: somebody may have put the key itself there.
"""

import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from service.security.access import Key, digest_of

# Lets scanners of code and logs recognise a key that went astray.
PREFIX = "bb_"
_RANDOM_BYTES = 32


def make_key() -> str:
    """Return a new key: 256 random bits, in letters that need no quoting anywhere."""
    return PREFIX + secrets.token_urlsafe(_RANDOM_BYTES)


NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

_LINE = re.compile(rf"(?P<name>{NAME.pattern})[ \t]+sha256:(?P<digest>[0-9a-fA-F]{{64}})")
_SHAPE = "not `NAME sha256:` and 64 hexadecimal digits, as `bigbird key NAME` prints it"
# Every key is compared with every request's, and has series of its own in the metrics.
_MOST_KEYS = 1000
_MOST_BYTES = 1024 * 1024


class KeyLineError(Exception):
    """Keys cannot be read; the message names the place."""


def key_line(name: str, secret: str) -> str:
    """Return the line that makes a key known."""
    return f"{name} sha256:{digest_of(secret).hex()}"


def read_key_file(path: Path, *, admin: bool = False) -> list[Key]:
    """Read the keys of a file.

    Raises:
        KeyLineError: It cannot be read, a line is no key's, or there is none: that would open the service.
    """
    try:
        with path.open("rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except OSError as error:
        raise KeyLineError(f"{path}: {error.strerror or 'cannot be read'}") from None
    if len(content) > _MOST_BYTES:
        raise KeyLineError(f"{path}: larger than {_MOST_BYTES} bytes")
    try:
        lines = content.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as error:
        number = content[: error.start].count(b"\n") + 1
        raise KeyLineError(f"{path}:{number}: not UTF-8") from None
    places = ((f"{path}:{number}", _without_comment(line)) for number, line in enumerate(lines, start=1))
    return list(_keys(str(path), ((place, line) for place, line in places if line), admin))


def read_key_variable(value: str, *, admin: bool = False) -> list[Key]:
    """Read the keys of a variable.

    Raises:
        KeyLineError: An entry is no key's, or there is none.
    """
    entries = (entry.strip() for entry in re.split(r"[,\n]", value))
    places = ((f"entry {number}", entry) for number, entry in enumerate(entries, start=1) if entry)
    return list(_keys("the value", places, admin))


def names_in(content: str) -> set[str]:
    """Return the names in a file's content, whether or not all of it can be used."""
    matches = (_LINE.fullmatch(_without_comment(line)) for line in content.splitlines())
    return {match["name"] for match in matches if match}


def _without_comment(line: str) -> str:
    return line.partition("#")[0].strip()


def _keys(source: str, lines: Iterator[tuple[str, str]], admin: bool) -> Iterator[Key]:
    count = 0
    for place, line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            raise KeyLineError(f"{place}: {_SHAPE}")
        count += 1
        if count > _MOST_KEYS:
            raise KeyLineError(f"{place}: more than {_MOST_KEYS} keys")
        yield Key(match["name"], bytes.fromhex(match["digest"]), admin)
    if count == 0:
        raise KeyLineError(f"{source} holds no key")
