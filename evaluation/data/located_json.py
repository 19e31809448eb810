"""JSON whose every value knows the line it stands on, so that a complaint about a value can name it.

The standard library reads strings and numbers; only the structure around them is read here.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from evaluation.data.source_text import DataError, Mistakes

_SPACE = re.compile(r"[ \t\n\r]*")
_NAMES = {dict: "an object", list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}


@dataclass(frozen=True, slots=True)
class LocatedJson:
    """A JSON value and its place; objects and lists hold values of this kind.

    Attributes:
        path: The file.
        line: Where the value begins.
        name: What to call it in messages, for example `answer_start`.
        value: A dictionary or list of `LocatedJson`, or a string, number, boolean or None.
    """

    path: Path
    line: int
    name: str
    value: Any

    def refuse(self, problem: str) -> NoReturn:
        """Raise a `DataError` about this value."""
        raise DataError(self.path, self.line, problem)

    def has(self, field: str) -> bool:
        """Tell whether this object has a field that is not null."""
        members = self._as(dict)
        return field in members and members[field].value is not None

    def field(self, name: str) -> "LocatedJson":
        """Return a field of this object."""
        if not self.has(name):
            self.refuse(f"{self.name} has no {name!r}")
        member: LocatedJson = self.value[name]
        return member

    def items(self) -> list["LocatedJson"]:
        """Return the values of this list."""
        items: list[LocatedJson] = self._as(list)
        return items

    def text(self) -> str:
        """Return this string; it is not empty."""
        text: str = self._as(str)
        if not text:
            self.refuse(f"{self.name} is empty")
        return text

    def flag(self) -> bool:
        """Return this boolean."""
        flag: bool = self._as(bool)
        return flag

    def index(self) -> int:
        """Return this whole number from 0."""
        if type(self.value) is not int or self.value < 0:
            self.refuse(f"{self.name} is not a whole number from 0")
        return self.value

    def _as(self, kind: type) -> Any:
        if not isinstance(self.value, kind):
            found = "null" if self.value is None else _NAMES[type(self.value)]
            self.refuse(f"{self.name} is {found}, not {_NAMES[kind]}")
        return self.value


def parse_located(source: str, mistakes: Mistakes, first_line: int = 1, name: str = "the file") -> LocatedJson:
    """Parse a text that is one JSON value.

    An object with the same field twice, and half a surrogate pair in a string, are noted and parsed.

    Args:
        source: The text.
        mistakes: Of the file that it comes from.
        first_line: The line of its first character.
        name: What to call the value in messages.

    Raises:
        DataError: It is not JSON.
    """
    parser = _Parser(source, mistakes, first_line)
    try:
        value, end = parser.value(parser.skip(0), name)
    except RecursionError:
        raise DataError(mistakes.path, first_line, "not JSON that can be read: nested too deeply") from None
    end = parser.skip(end)
    if end != len(source):
        raise DataError(mistakes.path, parser.line(end), "not JSON: something follows the end of the value")
    return value


def parse_json_lines(source: str, mistakes: Mistakes) -> Iterator[LocatedJson]:
    """Yield the value of each line that is not empty; lines that are not JSON are noted."""
    for number, line in enumerate(source.split("\n"), start=1):
        if line.strip():
            with mistakes.collected():
                yield parse_located(line, mistakes, number, "the line")


class _Parser:
    """Each method takes the offset at which something begins and also returns the one at which it ends."""

    def __init__(self, source: str, mistakes: Mistakes, first_line: int) -> None:
        self._source = source
        self._mistakes = mistakes
        self._first_line = first_line
        self._breaks = [match.start() for match in re.finditer("\n", source)]
        self._decoder = json.JSONDecoder(parse_constant=self._refuse_constant)

    def line(self, offset: int) -> int:
        return self._first_line + bisect_right(self._breaks, offset - 1)

    def skip(self, offset: int) -> int:
        match = _SPACE.match(self._source, offset)
        assert match is not None
        return match.end()

    def value(self, offset: int, name: str) -> tuple[LocatedJson, int]:
        read = {"{": self._object, "[": self._list}.get(self._source[offset : offset + 1], self._scalar)
        found, end = read(offset, name)
        return LocatedJson(self._mistakes.path, self.line(offset), name, found), end

    def _object(self, offset: int, name: str) -> tuple[Any, int]:
        members: dict[str, LocatedJson] = {}
        offset = self.skip(offset + 1)
        while self._source[offset : offset + 1] != "}":
            if members:
                offset = self._expect(",", offset)
            if self._source[offset : offset + 1] != '"':
                self._refuse(offset, "expected a field's name in double quotes")
            key, end = self._scalar(offset, name)
            if key in members:
                self._note(offset, f"not JSON: {name} has {key!r} twice")
            members[key], offset = self.value(self._expect(":", self.skip(end)), key)
            offset = self.skip(offset)
        return members, offset + 1

    def _list(self, offset: int, name: str) -> tuple[Any, int]:
        items: list[LocatedJson] = []
        offset = self.skip(offset + 1)
        while self._source[offset : offset + 1] != "]":
            if items:
                offset = self._expect(",", offset)
            item, offset = self.value(offset, f"item {len(items) + 1} of {name}")
            items.append(item)
            offset = self.skip(offset)
        return items, offset + 1

    def _scalar(self, offset: int, name: str) -> tuple[Any, int]:
        try:
            found, end = self._decoder.raw_decode(self._source, offset)
        except json.JSONDecodeError as error:
            self._refuse(error.pos, error.msg[0].lower() + error.msg[1:])
        except ValueError as error:  # a constant, or an integer of more than 4,300 digits
            self._refuse(offset, str(error))
        if isinstance(found, str):
            self._note_surrogates(offset, found)
        return found, end

    def _note_surrogates(self, offset: int, text: str) -> None:
        """Note what JSON can escape and UTF-8 cannot write: it could neither be sent nor printed."""
        try:
            text.encode()
        except UnicodeEncodeError as error:
            self._note(offset, f"\\u{ord(text[error.start]):04x} is half a surrogate pair, not a character")

    def _note(self, offset: int, problem: str) -> None:
        self._mistakes.add(self.line(offset), problem)

    def _expect(self, character: str, offset: int) -> int:
        if self._source[offset : offset + 1] != character:
            self._refuse(offset, f"expected {character!r}")
        return self.skip(offset + 1)

    def _refuse(self, offset: int, problem: str) -> NoReturn:
        raise DataError(self._mistakes.path, self.line(offset), f"not JSON: {problem}")

    @staticmethod
    def _refuse_constant(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is not a JSON value")
