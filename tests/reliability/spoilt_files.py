"""Ways to spoil a file: bytes of any format, and JSON whose structure is kept but for one place."""

import json
import random
from collections.abc import Callable
from typing import Any

from hypothesis import strategies

Json = Any

_NUMBERS = (0, -1, 1, 2**31 - 1, 2**31, 2**32, 2**53, 2**63 - 1, 2**63, 2**64, -(2**63), 10**400, 0.5, -0.0, 1e308)
_TEXTS = (
    "",
    "\0",
    "\ud800",
    "\udfff\ud800",
    "\ufeff",
    "a\nb\r\x1b[31m\u2028",
    "\u202eabc",
    "../outside",
    "/etc/passwd",
    "..",
    "CON",
    "x" * 100_000,
    "{}" * 50,
    "9" * 5000,
    "NaN",
    "__proto__",
    "\U0010ffff",
)
_SNIPPETS = (
    b"\0",
    b"\xff" * 8,
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"\\ud800",
    b"\\u0000",
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"9" * 5000,
    b"[" * 20_000,
    b'{"a":' * 20_000,
    (2**63).to_bytes(8, "little"),
    (2**62).to_bytes(8, "little"),
    (2**31 - 1).to_bytes(4, "little"),
    (2**40).to_bytes(8, "big"),
    b"\xdd\xff\xff\xff\xff",
    b"\xdf\xff\xff\xff\xff",
    b"\xc9\xff\xff\xff\xff\x01",
    b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
    b"cbuiltins\neval\n",
    b"PK\x03\x04",
    bytes(4096),
)

json_values: strategies.SearchStrategy[Json] = strategies.recursive(
    strategies.none()
    | strategies.booleans()
    | strategies.integers()
    | strategies.floats()
    | strategies.text(strategies.characters(exclude_categories=())),
    lambda inner: strategies.lists(inner, max_size=4) | strategies.dictionaries(strategies.text(), inner, max_size=4),
    max_leaves=12,
)
"""Any JSON, and with NaN, infinities and lone surrogates what is none."""


def spoil_bytes(content: bytes, chance: random.Random) -> bytes:
    """Return the content with one to three places changed."""
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        content = chance.choice(_BYTE_CHANGES)(content, chance)
    return content


def spoil_json(content: bytes, chance: random.Random) -> bytes:
    """Return a JSON text with one or two values changed, or changed as bytes."""
    if chance.random() < 0.3:
        return spoil_bytes(content, chance)
    values = json.loads(content)
    for _ in range(chance.choice((1, 1, 2))):
        values = put_somewhere(values, _value(chance), chance)
    text = json.dumps(values, ensure_ascii=chance.random() < 0.5)
    if chance.random() < 0.1:  # a name twice
        name, colon, rest = text.partition(":")
        text = f"{name}: 0, {name[1:]}{colon}{rest}"
    return text.encode("utf-8", errors="surrogatepass")


def put_somewhere(values: Json, value: Json, chance: random.Random) -> Json:
    """Replace, add or remove a value anywhere in a JSON tree; it is changed in place where it can be."""
    places = [(holder, key) for holder in _holders(values) for key in _keys(holder)]
    if not places or chance.random() < 0.01:
        return value
    holder, key = chance.choice(places)
    match chance.randrange(8):
        case 0:
            del holder[key]
        case 1 if isinstance(holder, dict):
            holder[chance.choice(_TEXTS)] = value
        case 2 if isinstance(holder, list):
            holder.extend([value] * chance.choice((1, 1000)))
        case _:
            holder[key] = value
    return values


def _holders(tree: Json) -> list[Json]:
    found, waiting = [], [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, dict | list):
            found.append(node)
            waiting.extend(node.values() if isinstance(node, dict) else node)
    return found


def _keys(holder: Json) -> list[Json]:
    return list(holder) if isinstance(holder, dict) else list(range(len(holder)))


def _value(chance: random.Random) -> Json:
    match chance.randrange(6):
        case 0:
            return chance.choice(_NUMBERS)
        case 1:
            return chance.choice(_TEXTS)
        case 2:
            return chance.choice((None, True, False, [], {}, [[]], {"": None}, float("nan"), float("inf")))
        case 3:
            return chance.randrange(-5, 5000)
        case 4:
            return _deep(chance.choice((10, 300)))  # twice that is what can be written
        case _:
            return chance.choice(([0] * 3, ["x"] * 3, {"a": 1}, {"content": "x", "type": "Sequence"}, 64, "x", 1.5))


def _deep(levels: int) -> Json:
    tree: Json = None
    for _ in range(levels):
        tree = [tree]
    return tree


def _flip(content: bytes, chance: random.Random) -> bytes:
    if not content:
        return b"x"
    place = _place(content, chance)
    return content[:place] + bytes([content[place] ^ 1 << chance.randrange(8)]) + content[place + 1 :]


def _set(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + bytes([chance.choice((0, 1, 0x7F, 0x80, 0xFF, 0x22, 0x7B))]) + content[place + 1 :]


def _cut(content: bytes, chance: random.Random) -> bytes:
    return content[: _place(content, chance)]


def _remove(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + content[place + chance.choice((1, 2, 8, 100)) :]


def _repeat(content: bytes, chance: random.Random) -> bytes:
    start, end = sorted((_place(content, chance), _place(content, chance)))
    return content[:end] + content[start:end][:5000] * chance.choice((1, 2, 20)) + content[end:]


def _insert(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + chance.choice(_SNIPPETS) + content[place:]


def _overwrite(content: bytes, chance: random.Random) -> bytes:
    place, snippet = _place(content, chance), chance.choice(_SNIPPETS)[:16]
    return content[:place] + snippet + content[place + len(snippet) :]


def _noise(content: bytes, chance: random.Random) -> bytes:
    place = _place(content, chance)
    return content[:place] + chance.randbytes(chance.choice((1, 4, 64))) + content[place + 4 :]


def _replace_all(content: bytes, chance: random.Random) -> bytes:
    return chance.choice(_SNIPPETS) * chance.choice((0, 1, 3))


def _place(content: bytes, chance: random.Random) -> int:
    """Choose a place, half of the time near the beginning, where headers are."""
    size = max(len(content), 1)
    return chance.randrange(min(size, 64) if chance.random() < 0.5 else size)


_BYTE_CHANGES: tuple[Callable[[bytes, random.Random], bytes], ...] = (
    *(_flip, _flip, _set, _cut, _remove, _repeat, _insert, _insert, _overwrite, _noise, _noise),
    _replace_all,
)
