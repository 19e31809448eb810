"""Where a text holds tokens that were added to a vocabulary, by the rules of the `tokenizers` library.

At each place the longest one counts, and none begins inside another. Those that are not `normalized` are looked for in
the text as it stands; what lies between them is normalised (a run of spaces becomes one space symbol), and there the
others are looked for. What is `single_word` but touches a letter is passed over as a whole.

There may be many thousands, and a text may be made of nothing but their beginnings. So they are one regular expression
that branches at each letter as a trie does, and a long text is searched in parts: within a part, no other thread runs.
"""

import re
import unicodedata
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby

import numpy as np

from bigbird_inference.manifest import AddedToken
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, code_points

# Unicode's White_Space. `str.rstrip` without it also takes four control characters, which `tokenizers` does not.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

PART = 1024
"""Code points of a text that are searched at once."""

_RUN_OF_SPACES = re.compile(" {2,}")
# Python's parser of expressions calls itself for each.
_DEEPEST = 100
# Alternatives that are tried one by one; of more, those are chosen first that can begin with the next character.
_MOST_BRANCHES = 64
# The joiners, and letters in circles and squares, which are symbols but alphabetic.
_CIRCLED = ((0x24B6, 0x24E9), (0x1F130, 0x1F149), (0x1F150, 0x1F169), (0x1F170, 0x1F189))
_OTHER_WORD_CHARACTERS = frozenset("\u200c\u200d").union(
    chr(code_point) for first, last in _CIRCLED for code_point in range(first, last + 1)
)


@dataclass(frozen=True, slots=True)
class Occurrence:
    """An added token in a text.

    Attributes:
        token: Which one.
        start: Its first code point.
        end: One past its last.
        before: Where the text in front of it ends: at `start`, or before the white space that the token takes.
        after: Where the text behind it begins, likewise.
    """

    token: AddedToken
    start: int
    end: int
    before: int
    after: int


class AddedTokenFinder:
    """Finds added tokens in texts; safe to call from several threads.

    Args:
        tokens: Those that texts may hold.
    """

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        tokens = list(tokens)
        self._verbatim = _Search({token.content: token for token in tokens if not token.normalized})
        self._normalised = _Search({_normalised(token.content): token for token in tokens if token.normalized})

    def find(self, text: str) -> list[Occurrence]:
        """Return what a text holds, in its order."""
        verbatim = list(self._verbatim.find(text))
        if not self._normalised:
            return verbatim
        found: list[Occurrence] = []
        begin = 0
        for occurrence in (*verbatim, None):
            section = text[begin : None if occurrence is None else occurrence.before]
            found += self._find_normalised(section, begin)
            if occurrence is not None:
                found.append(occurrence)
                begin = occurrence.after
        return found

    def _find_normalised(self, section: str, begin: int) -> Iterator[Occurrence]:
        """Yield what the normal form of a section holds, with places in the text that it begins in."""
        if "  " not in section:
            for found in self._normalised.find(section):
                yield Occurrence(
                    found.token, found.start + begin, found.end + begin, found.before + begin, found.after + begin
                )
            return
        spaces = code_points(section) == ord(" ")
        kept = np.flatnonzero(~(spaces & np.insert(spaces[:-1], 0, False)))
        places = [*(kept + begin).tolist(), len(section) + begin]
        for found in self._normalised.find(_normalised(section)):
            yield Occurrence(
                found.token, places[found.start], places[found.end], places[found.before], places[found.after]
            )


class _Search:
    """A search for the longest of several strings."""

    def __init__(self, tokens: dict[str, AddedToken]) -> None:
        self._tokens = tokens
        self._longest = max(map(len, tokens), default=0)
        self._expression = re.compile(_any_of(sorted(tokens), 0)) if tokens else None

    def __bool__(self) -> bool:
        return bool(self._tokens)

    def find(self, text: str) -> Iterator[Occurrence]:
        free = 0  # where the white space begins that nobody has taken
        for start, end in self._places(text):
            if start < free:
                continue
            token = self._tokens[text[start:end]]
            if token.single_word and (_is_word(text[start - 1 : start]) or _is_word(text[end : end + 1])):
                continue
            before, after = start, end
            if token.lstrip:
                before = max(free, len(text[free:start].rstrip(WHITE_SPACE)) + free)
            while token.rstrip and after < len(text) and text[after] in WHITE_SPACE:
                after += 1
            yield Occurrence(token, start, end, before, after)
            free = after

    def _places(self, text: str) -> Iterator[tuple[int, int]]:
        if self._expression is None:
            return
        begin = 0
        while begin < len(text):
            part_end = begin + PART
            match = self._expression.search(text, begin, part_end + self._longest)
            if match is None or match.start() >= part_end:  # it may be cut: it is looked at again in the next part
                begin = part_end
            else:
                yield match.span()
                begin = match.end()


def _any_of(strings: list[str], depth: int) -> str:
    """Return an expression for the longest of some strings that a text goes on with.

    Args:
        strings: Different ones, sorted.
        depth: How many expressions it stands in.
    """
    if depth == _DEEPEST:
        return "|".join(re.escape(string) for string in sorted(strings, key=len, reverse=True))
    ends = zip(strings[0], strings[-1], strict=False)  # sorted, they differ as early as any two
    shared = next((place for place, (one, other) in enumerate(ends) if one != other), len(strings[0]))
    prefix = strings[0][:shared]
    rest = [string[len(prefix) :] for string in strings if len(string) > len(prefix)]
    if not rest:
        return re.escape(prefix)
    branches = [list(group) for _, group in groupby(rest, key=lambda string: string[0])]
    ending = "?" if len(rest) < len(strings) else ""
    if len(branches) <= _MOST_BRANCHES:
        return f"{re.escape(prefix)}(?:{'|'.join(_any_of(branch, depth + 1) for branch in branches)}){ending}"
    chosen = []
    for first in range(0, len(branches), _MOST_BRANCHES):
        some = branches[first : first + _MOST_BRANCHES]
        heads = "".join(re.escape(branch[0][0]) for branch in some)
        chosen.append(f"(?=[{heads}])(?:{'|'.join(_any_of(branch, depth + 1) for branch in some)})")
    return f"{re.escape(prefix)}(?:{'|'.join(chosen)}){ending}"


def _normalised(text: str) -> str:
    return _RUN_OF_SPACES.sub(SPACE_SYMBOL, text)


def _is_word(character: str) -> bool:
    r"""Tell what Rust's `\w` tells; Python's lacks marks and joiners."""
    if not character:
        return False
    category = unicodedata.category(character)
    return category[0] in "LM" or category in ("Nd", "Nl", "Pc") or character in _OTHER_WORD_CHARACTERS
