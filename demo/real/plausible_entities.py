"""What of a teacher's entities is worth learning: it was trained on news, and guesses in code, tables and headers."""

import re

from demo.real.labelled_documents import Entity

_NAMES = ("PER", "ORG", "LOC", "NORP")
_NO_NAME = re.compile(r"[/\\@_=<>|{}\[\]#$%*~^+\x00-\x09\x80-\x9f\ufffd]|\s{3}|://|\.(com|org|net|html?|txt|pm|c|h)\b")
_NUMBER_WORD = re.compile(
    r"\d|\b(one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|twenty|thirty|forty|fifty|sixty|seventy|"
    r"eighty|ninety|hundreds?|thousands?|millions?|billions?|trillions?|half|few|several)\b",
    re.IGNORECASE,
)
_PERCENT = re.compile(r"%|per ?cent", re.IGNORECASE)
_CURRENCY = re.compile(
    r"[$£€¥₹]|\b(dollars?|cents?|pounds?|euros?|francs?|marks?|yen|rupees?|pesos?|pence|shillings?|bucks|sterling|"
    r"USD|EUR|GBP)\b",
    re.IGNORECASE,
)
_SIGNS = frozenset("$£€¥₹")
_BARE_NUMBER = re.compile(r"[\d,.]+")
_YEAR = re.compile(r"1\d{3}|20\d{2}")
_NO_TIME = re.compile(r"[@_=<>|{}\[\]#$*~^\x80-\x9f]|\d\s*(mi|km|m|ft|kg|MB|KB|GB)$")
# Quotation marks and dashes are written by their numbers, as they look like others.
_EDGES = " \t\n\"'`,;:-*\u201c\u201d\u2018\u2019\u2013\u2014"
_POSSESSIVE = re.compile(r"['\u2019]s$")


def plausible(text: str, entities: list[Entity]) -> list[Entity]:
    """Return the entities that can be what they are said to be, cut to size.

    Quotation marks and possessives at their ends are left out; the sign before an amount, which the teacher often
    leaves out, is taken in, unless it belongs to the entity before.

    Args:
        text: That they are in.
        entities: `[start, end)` in code points and a type.
    """
    kept: list[Entity] = []
    for start, end, label in entities:
        begin, stop = _trimmed(text, start, end)
        sign_is_free = not kept or kept[-1][1] < begin
        begin -= label == "MONEY" and text[begin - 1 : begin] in _SIGNS and sign_is_free
        found = text[begin:stop]
        kind = "PERCENT" if label == "MONEY" and _PERCENT.search(found) else label
        if found and _can_be(kind, found):
            kept.append((begin, stop, kind))
    return kept


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    while start < end and text[start] in _EDGES:
        start += 1
    while start < end and text[end - 1] in _EDGES:
        end -= 1
    possessive = _POSSESSIVE.search(text[start:end])
    return start, end - len(possessive.group()) if possessive else end


def _can_be(label: str, found: str) -> bool:
    """Tell whether something can be an entity of a type, by its characters."""
    if label in _NAMES:
        digits = any(character.isdigit() for character in found)
        named = any(character.isupper() for character in found) and not _NO_NAME.search(found)
        return named and not (label == "PER" and digits)
    if label == "MONEY":
        return bool(_CURRENCY.search(found) and _NUMBER_WORD.search(found)) and len(found) < 60
    if label == "PERCENT":
        return bool(_PERCENT.search(found) and _NUMBER_WORD.search(found))
    if _BARE_NUMBER.fullmatch(found):
        return label == "DATE" and bool(_YEAR.fullmatch(found))
    return not _NO_TIME.search(found)
