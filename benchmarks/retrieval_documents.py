"""Long documents of several kinds, for `benchmarks.retrieval`.

    python -m benchmarks.retrieval_documents build/retrieval.jsonl

Which are taken was decided before anything was measured, and nobody reads them: of each source, those of 1,000 words or
more; where there are more than the table below allows, that many, evenly spaced in the order of the package. Licences
are left out, since most of the long ones are versions of each other. Every fourth document of a source is for choosing
among ways to one vector, the others are for the figures that are reported.

Writing them needs `demo/real/requirements.txt`, in an environment of its own; reading them does not.
"""

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TypeVar

Part = Literal["choosing", "reporting"]

_FEWEST_WORDS = 1_000
_ONE_IN = 4
# Source -> most documents of it.
_MOST = {"articles": 100, "addresses": 50, "handbook": 50, "history": 50, "questions": 50, "mails": 50, "novel": 50}

AnyT = TypeVar("AnyT")


@dataclass(frozen=True, slots=True)
class LongDocument:
    """A document and what it is for.

    Attributes:
        source: Of `demo.real.documents`.
        name: In its source.
        text: All of it.
        part: What it is for.
    """

    source: str
    name: str
    text: str
    part: Part


def evenly_spaced(items: Sequence[AnyT], most: int) -> list[AnyT]:
    """Return so many items, the first among them, or all of them if there are fewer."""
    count = min(most, len(items))
    return [items[number * len(items) // count] for number in range(count)]


def part_of(number: int) -> Part:
    """Return what a source's document of a number, from 0, is for."""
    return "choosing" if number % _ONE_IN == _ONE_IN - 1 else "reporting"


def read_documents(file: Path) -> list[LongDocument]:
    """Return what `main` wrote."""
    return [LongDocument(**json.loads(line)) for line in file.read_text("utf-8").split("\n") if line]


def main() -> None:
    """Write a document on each line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="to write")
    parser.add_argument("--downloads", type=Path, default=Path("real-models/packages"), help="where packages are kept")
    options = parser.parse_args()
    from demo.real.documents import documents  # the parsers that it imports are not where the benchmark runs

    lines = []
    for source, most in _MOST.items():
        long = [found for found in documents(source, options.downloads) if len(found.text.split()) >= _FEWEST_WORDS]
        for number, found in enumerate(evenly_spaced(long, most)):
            taken = LongDocument(source, found.name, found.text, part_of(number))
            lines.append(json.dumps(asdict(taken), ensure_ascii=False) + "\n")
    options.file.parent.mkdir(parents=True, exist_ok=True)
    options.file.write_text("".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
