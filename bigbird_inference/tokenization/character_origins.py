"""Where the characters of a normal form came from, without SentencePiece's list of them.

What SentencePiece's normaliser makes of a character alone is in a table. What it does with spaces around that is known:
it puts one before a text and, in most models, joins runs of them and drops them at both ends. So the normal form of
most texts can be foretold, with the origin of every character. SentencePiece is asked for the normal form alone, which
costs little. If it is another, rules for several characters were at work, and nothing is known here.
"""

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

from bigbird_inference.tokenization.character_table import CharacterTable
from bigbird_inference.tokenization.normal_form import SPACE_SYMBOL, NormalForm, code_points

_SPACE = np.uint32(ord(SPACE_SYMBOL))
# For private use: no rule is about it.
_SEPARATOR = "\ue000"


@dataclass(frozen=True, slots=True)
class CharacterOrigins:
    """What foretells the normal forms of one SentencePiece model.

    Attributes:
        characters: What each character becomes between others.
        puts_space: Whether a space is put before a text.
        drops_spaces: Whether all but the first of neighbouring spaces are dropped, and those at both ends of a text.
    """

    characters: CharacterTable
    puts_space: bool
    drops_spaces: bool

    @classmethod
    def of(cls, processor: Any) -> Self | None:
        """Ask a model about every character; None if it cannot be asked about one alone."""

        def between_others(text: str) -> str:
            normal: str = processor.normalize(f"{_SEPARATOR}{text}{_SEPARATOR}")
            return normal.partition(_SEPARATOR)[2].removesuffix(_SEPARATOR)

        characters = CharacterTable.of(between_others, _SEPARATOR)
        if characters is None:
            return None
        return cls(
            characters,
            puts_space=processor.normalize("x") == f"{SPACE_SYMBOL}x",
            drops_spaces=processor.normalize("x  x").endswith(f"x{SPACE_SYMBOL}x"),
        )

    def find(self, text: str, normal: npt.NDArray[np.uint32]) -> NormalForm | None:
        """Return a normal form with its origins; None if SentencePiece must be asked for them.

        Args:
            text: Unicode without lone surrogates.
            normal: The code points of its normal form.
        """
        foretold = self._foretell(text)
        return foretold if foretold is not None and np.array_equal(foretold.characters, normal) else None

    def _foretell(self, text: str) -> NormalForm | None:
        found = self.characters.forms_of(code_points(text))
        if found is None:
            return None
        forms, origins = found
        begin, end = 0, len(text)
        if self.drops_spaces:
            spaces = forms == _SPACE
            after_space = np.append(True, spaces[:-1])
            kept = ~(spaces & after_space)
            forms, origins = forms[kept], origins[kept]
            if len(forms) == 0:
                return None
            begin = int(origins[0])
            if begin != np.argmin(spaces):  # something else than single spaces was dropped before it
                return None
            if forms[-1] == _SPACE:
                forms, origins, end = forms[:-1], origins[:-1], int(origins[-1])
        first = [begin] if self.puts_space else []
        characters = np.concatenate((np.full(len(first), _SPACE), forms))
        return NormalForm(characters, np.concatenate((first, origins, [end])).astype(np.int64))
