"""Texts that are hard to tokenise, and whether everything else goes on meanwhile.

    python -m tests.reliability.stalls          every code point: about a quarter of an hour of one core
    python -m tests.reliability.stalls 0.01     a hundredth of them

Every code point is tokenised alone, many times over. So are pairs of those that take longest with each other and with
every combining mark. The worst are tokenised again in texts as long as a request may hold, while another thread notes
how long it had to wait. At last the worst of all fill every thread at once, for what they leave in memory.
"""

import random
import sys
import tempfile
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.export.tokenizer import write_tokenizer
from service.settings import Settings
from tests.reliability.report import Report

ROOT = Path(__file__).resolve().parents[2]
LONGEST_WAIT = 0.25
"""Seconds that no text may make another thread wait."""

EIGHTEEN_LETTERS = "\ufdfa"
"""What NFKC makes most characters of."""

_MOST_LEFT_IN_MEMORY = 300e6
_WORST = 500
_AT_FULL_LENGTH = 100
_ASSIGNED, _OTHERS, _PAIRS = 2000, 200, 100
"""How often a code point is repeated, if Unicode assigns it a meaning and if not; and how often a pair."""

_TICK_SECONDS = 0.002
_TRIES = 3
_THREADS = 2  # those of a server on two cores; the allocator keeps some 100 MB for each
_TEXTS_AT_ONCE = 27
_SPECIAL = {"cls": "[CLS]", "sep": "[SEP]", "pad": "<pad>", "mask": "[MASK]"}


@dataclass(frozen=True, slots=True)
class Screened:
    """What a short text of one unit, repeated, takes.

    Attributes:
        unit: A code point or two.
        tokens: Tokens for each code point.
        seconds: Processor time for each code point.
    """

    unit: str
    tokens: float
    seconds: float


def run(scale: float) -> Report:
    """Look for the worst texts.

    Args:
        scale: 1 for every code point.
    """
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = demo_tokenizer(Path(folder))
        length = Settings().max_characters
        singles = [_screened(tokenizer, character, _repeats(character)) for character in _characters(scale)]
        hardest = [one.unit for one in _worst(singles, max(2, round(_WORST * scale**0.5)))]
        marks = [character for character in map(chr, range(sys.maxunicode + 1)) if _is_mark(character)]
        partners = [*hardest, *_sample(marks, scale**0.5)]
        pairs = [_screened(tokenizer, first + second, _PAIRS) for first in hardest for second in partners]
        count = max(2, round(_AT_FULL_LENGTH * scale))
        units = [one.unit for found in (singles, pairs) for one in _worst(found, count)]
        tokens: dict[str, int] = {}
        waits: dict[str, float] = {}

        def tokenize(unit: str) -> None:
            tokens[unit] = len(tokenizer.tokenize(unit * (length // len(unit))))

        for unit in units:
            waits[unit] = shortest_wait(partial(tokenize, unit))
        most_tokens = max(tokens, key=tokens.__getitem__)
        before, peak, after = _memory_around(partial(tokenize, most_tokens))
    longest = max(waits, key=waits.__getitem__)
    failures = [
        f"{_name(unit)}: another thread waited {wait:.2f} s" for unit, wait in waits.items() if wait > LONGEST_WAIT
    ]
    if after - before > _MOST_LEFT_IN_MEMORY:
        failures.append(f"{_name(most_tokens)}: {(after - before) / 1e6:.0f} MB were left after {_TEXTS_AT_ONCE} texts")
    return Report(
        area="stalls",
        inputs=len(singles) + len(pairs) + len(units),
        failures=tuple(failures),
        facts={
            "code points": f"{len(singles):,}",
            "pairs": f"{len(pairs):,}",
            "texts of full length": f"{len(units):,}",
            "longest wait of another thread": f"{waits[longest] * 1000:.0f} ms ({_name(longest)})",
            "most tokens of a text": f"{tokens[most_tokens]:,} ({_name(most_tokens)})",
            f"resident memory before, at the peak of and after {_TEXTS_AT_ONCE} such texts": (
                f"{before / 1e6:.0f}, {peak / 1e6:.0f} and {after / 1e6:.0f} MB"
            ),
        },
    )


def demo_tokenizer(folder: Path) -> Tokenizer:
    """Return the tokenizer of the demo bundles: NFKC, where one character can become 18, each of up to four bytes."""
    source, made = ROOT / "examples" / "checkpoints" / "demo-qa" / "spiece.model", folder / "tokenizer.model"
    ids = write_tokenizer(source.read_bytes(), source, made, _SPECIAL, sys.maxsize)
    return Tokenizer(made, ids.cls, ids.sep, 0, ids.mask).load()


def shortest_wait(work: Callable[[], object]) -> float:
    """Return how long work keeps another thread waiting; the least of some tries, as other processes do so, too."""
    waits = []
    for _ in range(_TRIES):
        waits.append(_longest_wait(work))
        if waits[-1] <= LONGEST_WAIT:
            break
    return min(waits)


def _longest_wait(work: Callable[[], object]) -> float:
    longest, alive = 0.0, True
    thread = threading.Thread(target=work)
    ticked = time.perf_counter()
    thread.start()
    while alive:
        alive = thread.is_alive()
        now = time.perf_counter()
        longest, ticked = max(longest, now - ticked), now
        time.sleep(_TICK_SECONDS)
    return longest


def _characters(scale: float) -> list[str]:
    """Return a share of all characters, and the worst one that is known."""
    everything = [chr(point) for point in range(sys.maxunicode + 1) if not 0xD800 <= point < 0xE000]
    return list({*_sample(everything, scale), EIGHTEEN_LETTERS})


def _sample(characters: list[str], share: float) -> list[str]:
    return random.Random(0).sample(characters, max(2, round(len(characters) * min(share, 1))))


def _repeats(character: str) -> int:
    return _OTHERS if unicodedata.category(character) in {"Cn", "Co"} else _ASSIGNED


def _is_mark(character: str) -> bool:
    return unicodedata.category(character).startswith("M")


def _screened(tokenizer: Tokenizer, unit: str, repeats: int) -> Screened:
    text = unit * repeats
    begun = time.thread_time()
    tokens = len(tokenizer.tokenize(text))
    return Screened(unit, tokens / len(text), (time.thread_time() - begun) / len(text))


def _worst(found: Iterable[Screened], count: int) -> list[Screened]:
    """Return those with the most tokens and those that take longest, half of the count each."""
    by_tokens = sorted(found, key=lambda one: one.tokens, reverse=True)
    by_seconds = sorted(by_tokens[count // 2 :], key=lambda one: one.seconds, reverse=True)
    return [*by_tokens[: count // 2], *by_seconds[: count - count // 2]]


def _memory_around(work: Callable[[], None]) -> tuple[int, int, int]:
    """Return resident bytes before many threads do the same work, the most meanwhile, and afterwards."""
    before = peak = _resident_bytes()
    with ThreadPoolExecutor(_THREADS) as threads:
        running = [threads.submit(work) for _ in range(_TEXTS_AT_ONCE)]
        while not all(one.done() for one in running):
            peak = max(peak, _resident_bytes())
            time.sleep(0.05)
        for one in running:
            one.result()
    return before, peak, _resident_bytes()


def _resident_bytes() -> int:
    status = Path("/proc/self/status").read_text(encoding="ascii")
    return int(status.split("VmRSS:")[1].split()[0]) * 1024


def _name(unit: str) -> str:
    return " ".join(f"U+{ord(character):04X}" for character in unit)


if __name__ == "__main__":
    print(run(float(sys.argv[1]) if sys.argv[1:] else 1.0))
