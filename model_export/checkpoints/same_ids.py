"""Proof by example that a converted vocabulary gives the ids that `tokenizers` gives.

`check_same_ids` runs at every conversion: on texts of many kinds, and on texts made of the vocabulary's own pieces, so
that each of them occurs. The two libraries are known to part on the inputs listed here, which are therefore not among
the texts; in each case SentencePiece, with which the vocabularies were made, cannot be told to do otherwise.

- The ends of a text. `tokenizers` strips all white space at its end (files of transformers 4) or leaves one space there
  (transformers 5); SentencePiece strips spaces, nothing else. The tokens of that white space differ, all others agree.
  A text that begins or ends with a literal U+2581 differs by that character.
- Texts that spell an added token: characters here, its id there. Text is data in the service.
- Several marks on one letter, marks on a character that has a normal form itself, and Hangul written in parts, under a
  precompiled character map: `tokenizers` looks up whole graphemes below six bytes and then single characters, takes the
  shortest match and drops the rest of the grapheme; SentencePiece takes the longest match.

One difference cannot be kept out, because it depends on the vocabulary: ties of a Unigram model. SentencePiece adds up
the scores of a whole text in 32 bits, `tokenizers` those of a word in 64. Where two segmentations have the same score
but for rounding (`--` `-` or `-` `--`), each library picks its own, and both are best; such a text counts as equal.
Whole-numbered scores are added without rounding: there, as in the released vocabulary, every id must be the same.
"""

import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import sentencepiece

from bigbird_inference.extras import install_command
from model_export.checkpoints.typed_fields import Unusable

# ruff: noqa: RUF001 - characters that look like others are what is tried

_PROSE = (
    "In March 2024 the committee published its findings, and nobody was surprised. The report, 212 pages long, "
    "says that the bridge was sound; what failed was the maintenance. “We knew,” said Ms. O'Neill, “but who'd have "
    "listened?” Three of the five members disagreed -- politely -- with paragraph 14(b)."
)

SAMPLE: dict[str, str] = {
    "the empty text": "",
    "a single letter": "a",
    "a single unknown character": "\U0001fac3",
    "English prose": _PROSE,
    "twenty paragraphs of prose": "\n\n".join([_PROSE] * 20),
    "prose in capitals": _PROSE.upper(),
    "prose without spaces": _PROSE.replace(" ", ""),
    "contractions": "I'm we're they've don't o'clock rock 'n' roll it’s",
    "all of ASCII that can be seen": "".join(map(chr, range(33, 127))),
    "all of ASCII that can be seen, with spaces between": " ".join(map(chr, range(33, 127))),
    "punctuation": "Wait... what?! (No) [really] {yes}; 'a' \"b\" – c — d … «e» ‚f‘ „g“ §5 ¶ † • ‰",
    "numbers": "0 1 12 123 1234567890 3.14159 1,000,000 -7 +8 1e-9 0x1F 50% $9.99 €20 №3 2024-03-01 12:30:05",
    "superscripts, fractions and ligatures": "x² y³ ½ ¾ ﬁ ﬂ ﬃ ™ ℃ № ① Ⅳ ㌔ ㍿",
    "runs of spaces": "a  b   c    d          e",
    "a run of a thousand spaces": "a" + " " * 1000 + "b",
    "spaces before a text": "   indented",
    "tabs and line ends": "a\tb\nc\r\nd\n\n\te\x0bf\x0cg",
    "line ends before a text": "\n\n\ttext",
    "spaces around line ends": "a \n b  \n  c \t d",
    "other white space": "a\u00a0b\u2003c\u2009d\u3000e\u200bf\ufeffg\u2028h\u2029i\u0085j",
    "the space symbol inside a text": "a\u2581b \u2581c\u2581\u2581d",
    "accents": "naïve café résumé Ångström Zürich São Paulo čeština žluťoučký İstanbul ß ẞ œuvre",
    "accents written apart": "nai\u0308ve cafe\u0301 re\u0301sume\u0301 A\u030angstro\u0308m Zu\u0308rich Sa\u0303o",
    "Greek and Cyrillic": "Καλημέρα κόσμε. Съешь же ещё этих мягких французских булок, да выпей чаю.",
    "Hebrew": "שלום עולם, מה שלומך?",
    "Arabic": "مرحبا بالعالم، كيف حالك؟ ١٢٣",
    "Devanagari": "नमस्ते दुनिया",
    "Thai": "สวัสดีชาวโลก",
    "Chinese": "北京是中华人民共和国的首都。",
    "Chinese with spaces": "北京 是 首都 a 北 b 京",
    "Japanese": "東京タワーは高いです。ﾊﾝｶｸ カタカナ ひらがな",
    "Korean": "안녕하세요 세계",
    "wide forms": "Ａｃｍｅ　１２３！",
    "emoji": "👍 👍🏽 ❤\ufe0f 👩\u200d👩\u200d👧\u200d👦 🇩🇪 🏴\u200d☠\ufe0f 1\ufe0f\u20e3",
    "unknown characters side by side": "a\U00010330\U00010331b \U00010332 c\ue000\ue001\U0010fffd",
    "characters beyond the basic plane": "𝔘𝔫𝔦𝔠𝔬𝔡𝔢 𝟙𝟚𝟛 𠀀𠀁",
    "control characters": "a\x00b\x01\x02c\x07d\x1be\x7ff\x80g\x9f",
    "invisible marks": "soft\u00adhyphen \u202eright\u202c to\u200eleft\u2060 join\u200cer",
    "private and unassigned": "\ue123 \U000f0000 \u0378 \ufffd",
    "addresses": "See https://www.example.com/a/b?c=d&e=%20f#g or write to jane.doe+test@example.co.uk, or 192.168.0.1",
    "code": "def f(x: int = 0) -> dict[str, int]:\n    return {'a': x ** 2, \"b\": x != 3}  # note\n\nprint(f(1)['a'])",
    "markup": "<p class='x'>Tom &amp; Jerry</p> <br/> <!-- none --> [link](a.html) **bold** `code`",
    "a path and a command": "C:\\Users\\me\\file.txt; cd /usr/local/bin && ./run.sh --flag=1 | grep -v '^#'",
    "a very long word": "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbeamtengesellschaft",
    "a word of six hundred letters": "antidisestablishmentarianism" * 22,
    "letters in no language": "qzxjvkw xqjzv zzxq WqXzJ bcdfghjklmnp aeiou rhythm",
    "a random string": "f3Kx9QzP0aLm7Tr2Wd8Yb5Nc1Vh4Sj6Ge",
    "mixed scripts in one word": "abcабвαβγ北京한글עברit",
}
"""Texts by what they are, for messages."""


# What a file says besides these acts after the ids: special tokens around them, their text again, cutting, padding.
_FIELDS = ("added_tokens", "normalizer", "pre_tokenizer", "model")

_PIECES_OF_A_TEXT = 64
# An unknown character's score is this much below the worst piece's, in both libraries.
_UNKNOWN_PENALTY = 10.0
# Bounds the work on a vocabulary of very many long pieces; the released one has 322,000 characters.
_MOST_CHARACTERS = 2_000_000


def check_same_ids(values: Mapping[str, Any], model: bytes, skip: frozenset[str] = frozenset()) -> None:
    """Compare a SentencePiece model with the `tokenizer.json` it was made from.

    Args:
        values: The file's content.
        model: A serialised ModelProto.
        skip: Tokens that no text of the vocabulary's pieces may contain.

    Raises:
        Unusable: The package `tokenizers` is missing or cannot load the file, or a text gets other ids.
    """
    expected = _load_reference(values)
    processor = sentencepiece.SentencePieceProcessor()
    processor.LoadFromSerializedProto(model)
    for description, text in (*SAMPLE.items(), *_texts_of_pieces(processor, skip)):
        theirs, ours = expected(text), list(processor.encode(text))
        if theirs != ours and not _is_tie(processor, text, theirs, ours):
            raise Unusable(
                f"cannot be expressed in SentencePiece: the ids of {description} would differ from those of tokenizers "
                f"from token {_common(theirs, ours)} on"
            )


def _load_reference(values: Mapping[str, Any]) -> Callable[[str], list[int]]:
    try:
        from tokenizers import Tokenizer
    except ModuleNotFoundError:
        raise Unusable(
            f"can only be read with the package tokenizers, which is not installed: {install_command('export')}"
        ) from None
    kept = {"version": "1.0", **{name: values.get(name) for name in _FIELDS}}
    with _told_in_one_line():
        tokenizer = Tokenizer.from_str(json.dumps(kept))

    def encode(text: str) -> list[int]:
        with _told_in_one_line():
            return list(tokenizer.encode(text, add_special_tokens=False).ids)

    return encode


@contextmanager
def _told_in_one_line() -> Iterator[None]:
    """Turn whatever goes wrong in `tokenizers` into Unusable."""
    try:
        yield
    except (KeyboardInterrupt, SystemExit, MemoryError):
        raise
    except BaseException as error:  # a panic of the library derives from BaseException
        raise Unusable(f"cannot be used by tokenizers: {' '.join(str(error).split())[:200]}") from None


def _texts_of_pieces(processor: Any, skip: frozenset[str]) -> Iterator[tuple[str, str]]:
    """Yield texts that the vocabulary's own ordinary pieces make, side by side and as words."""
    ordinary = [
        processor.id_to_piece(index).replace("\u2581", " ")
        for index in range(processor.get_piece_size())
        if not (
            processor.is_control(index)
            or processor.is_unknown(index)
            or processor.is_unused(index)
            or processor.is_byte(index)
        )
    ]
    step = 1 + sum(map(len, ordinary)) // _MOST_CHARACTERS
    ordinary = ordinary[::step]
    for start in range(0, len(ordinary), _PIECES_OF_A_TEXT):
        group = ordinary[start : start + _PIECES_OF_A_TEXT]
        for glue, how in (("", "side by side"), (" ", "with spaces between")):
            text = glue.join(group).strip()
            if not any(token in text for token in skip):
                yield f"pieces {start * step} and following {how}", text


def _is_tie(processor: Any, text: str, one: list[int], other: list[int]) -> bool:
    """Tell whether two segmentations have the same score, as far as 32 bits can tell."""
    unknown = processor.unk_id()
    size = processor.get_piece_size()
    if not 0 <= max(*one, *other, -1) < size or one.count(unknown) != other.count(unknown):
        return False
    pieces = [[processor.id_to_piece(index) for index in ids] for ids in (one, other)]
    scores = [[0.0 if index == unknown else processor.get_score(index) for index in ids] for ids in (one, other)]
    whole = all(score.is_integer() for score in map(processor.get_score, range(size)))
    if whole or "".join(pieces[0]) != "".join(pieces[1]):
        return False
    start = _common(one, other)
    end = min(_common(one[::-1], other[::-1]), len(one) - start, len(other) - start)
    # The paths are compared where they part and meet again; what was added up before is the same number in both.
    additions = len(one) + len(other) - 2 * (start + end)
    known = sum(len(piece) for piece, index in zip(pieces[0], one, strict=True) if index != unknown)
    worst: float = min(map(processor.get_score, range(size))) - _UNKNOWN_PENALTY
    total = math.fsum(map(abs, scores[0])) + max(0, len(processor.normalize(text)) - known) * abs(worst)
    return math.fabs(math.fsum(scores[0]) - math.fsum(scores[1])) <= additions * total * 2.0**-23


def _common(one: list[int], other: list[int]) -> int:
    """Return how many ids both begin with."""
    pairs = zip(one, other, strict=False)
    return next((place for place, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
