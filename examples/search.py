"""Search a folder of long documents by meaning: which document, and which section of it, is about something?

    python examples/search.py FOLDER "What may a tenant change in the flat?"

Every document (.txt, .md) is cut into sections of whole paragraphs. A server with a model for `/embed` makes a vector
of each, and of the question; the sections whose vectors are nearest are shown. Vectors are kept in a file, so that only
new text is embedded the next time. Needs only Python and the server (`make demo`).
"""

import argparse
import hashlib
import json
import operator
import re
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

SUFFIXES = (".md", ".txt")
# A section ends with the paragraph that brings it to so many words.
SECTION_WORDS = 150
_PARAGRAPH = re.compile(r"(?:[^\n]*\S[^\n]*\n?)+")
_BATCH = 16
_EXCERPT = 160

Vector = list[float]


@dataclass(frozen=True, slots=True)
class Section:
    """A part of a document, whose first line is `line`, counted from 1."""

    document: str
    line: int
    text: str


def sections_of(document: str, text: str, words: int = SECTION_WORDS) -> Iterator[Section]:
    """Cut a text into sections of whole paragraphs, of at least so many words but for the last."""
    start, end, count = 0, 0, 0
    for paragraph in _PARAGRAPH.finditer(text):
        if count == 0:
            start = paragraph.start()
        end = paragraph.end()
        count += len(paragraph[0].split())
        if count >= words:
            yield Section(document, text.count("\n", 0, start) + 1, text[start:end].strip())
            count = 0
    if count:
        yield Section(document, text.count("\n", 0, start) + 1, text[start:end].strip())


def read_sections(folder: Path) -> list[Section]:
    """Return the sections of every document in a folder and below."""
    files = sorted(file for file in folder.rglob("*") if file.suffix.lower() in SUFFIXES and file.is_file())
    return [
        section
        for file in files
        for section in sections_of(str(file.relative_to(folder)), file.read_text("utf-8", errors="replace"))
    ]


class Vectors:
    """Vectors of texts, from a file as far as it has them, and from a server.

    Args:
        url: Of the server.
        model: Its model for `/embed`, None where it has one.
        file: Keeps them; those of another version of the model are dropped.
    """

    def __init__(self, url: str, model: str | None, file: Path) -> None:
        self._url, self._model, self._file = url, model, file
        kept = json.loads(file.read_text("utf-8")) if file.exists() else {}
        self._revision: str | None = kept.get("revision")
        self._known: dict[str, Vector] = kept.get("vectors", {})

    def of_question(self, question: str) -> Vector:
        """Return the vector of a question, which is not kept."""
        answer = self._ask(question)
        if answer["usage"]["revision"] != self._revision:
            self._revision, self._known = answer["usage"]["revision"], {}
        vector: Vector = answer["embedding"]
        return vector

    def of_sections(self, sections: Sequence[Section]) -> list[Vector]:
        """Return the vectors of sections, once a question was asked."""
        keys = [hashlib.sha256(section.text.encode()).hexdigest() for section in sections]
        new = {key: section.text for key, section in zip(keys, sections, strict=True) if key not in self._known}
        try:
            for first in range(0, len(new), _BATCH):
                part = dict(list(new.items())[first : first + _BATCH])
                answers = self._ask(list(part.values()))["results"]
                self._known |= {key: answer["embedding"] for key, answer in zip(part, answers, strict=True)}
                print(f"{min(first + _BATCH, len(new))} of {len(new)} new sections", file=sys.stderr)
        finally:
            if new:
                self._file.write_text(json.dumps({"revision": self._revision, "vectors": self._known}), "utf-8")
        return [self._known[key] for key in keys]

    def _ask(self, text: str | list[str]) -> Any:
        body = json.dumps({"text": text} | ({} if self._model is None else {"model": self._model})).encode()
        request = urllib.request.Request(f"{self._url}/embed", body, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=600) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            with error:
                raise SystemExit(f"{self._url}/embed: {json.load(error)['error']}") from None
        except urllib.error.URLError as error:
            raise SystemExit(f"{self._url}: {error.reason}; start the server with `make demo`") from None


def nearest(question: Vector, vectors: Sequence[Vector], count: int) -> list[tuple[float, int]]:
    """Return the cosine and the number of the vectors that are most like a question's; all have length 1."""
    scores = [(sum(map(operator.mul, question, vector)), number) for number, vector in enumerate(vectors)]
    return sorted(scores, reverse=True)[:count]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the nearest sections, the best first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("question")
    parser.add_argument("--url", default="http://127.0.0.1:8000")
    parser.add_argument("--model", help="where the server has several for /embed")
    parser.add_argument("--top", type=int, default=3, help="how many sections are shown")
    parser.add_argument("--index", type=Path, default=Path("search-index.json"), help="where vectors are kept")
    given = parser.parse_args(arguments)
    if not given.folder.is_dir():
        raise SystemExit(f"{given.folder} is not a folder")
    if not given.question.strip():
        raise SystemExit("the question is empty")
    sections = read_sections(given.folder)
    if not sections:
        raise SystemExit(f"{given.folder}: no text in it; documents are files that end in {' or '.join(SUFFIXES)}")
    vectors = Vectors(given.url, given.model, given.index)
    question = vectors.of_question(given.question)
    for score, number in nearest(question, vectors.of_sections(sections), given.top):
        section = sections[number]
        print(f"{score:.3f}  {section.document}, line {section.line}")
        print(f"       {' '.join(section.text.split())[:_EXCERPT]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
