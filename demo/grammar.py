"""A very small grammar for sentences: ``[a|b|c]`` stands for one of its alternatives.

Every sentence, question and heading of the demo reports is written as a phrase of this grammar, so a page of
phrases yields thousands of sentences. Fields in braces (``{subject}``) are left for the caller to fill in.
"""

import random
import re
from itertools import product

_CHOICE = re.compile(r"\[([^\[\]]*)\]")


def choose(phrase: str, rng: random.Random) -> str:
    """Replace every choice of the phrase by one of its alternatives, drawn with equal chances."""
    return _CHOICE.sub(lambda match: rng.choice(match.group(1).split("|")), phrase)


def every_choice(phrase: str) -> list[str]:
    """List all sentences a phrase can become, in a fixed order."""
    parts = _CHOICE.split(phrase)
    alternatives = [part.split("|") if index % 2 else [part] for index, part in enumerate(parts)]
    return ["".join(combination) for combination in product(*alternatives)]


def words(block: str) -> list[str]:
    """Cuts a block of text into its words: the way this package writes down long lists of them."""
    return block.split()
