"""Words with entity tags, one on each line, in the columns of CoNLL.

    -DOCSTART- -X- O O

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O

The first column holds the words, the last one the tags (two columns do). Columns are separated by spaces or tabs; with
tabs, words may hold spaces. An empty line ends a sentence, `-DOCSTART-` begins a document.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation.data.entity_tags import TAG, TaggingScheme, detect_scheme, spans_of_tags, violation
from evaluation.data.source_text import DataError, read_source

ConllUnit = Literal["sentence", "document"]

_DOCUMENT = "-DOCSTART-"
_SPACES = re.compile(" +")


@dataclass(frozen=True, slots=True)
class TaggedEntity:
    """An entity: words `[first, stop)`, and the code points `[start, end)` of the text that they are."""

    label: str
    first: int
    stop: int
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class TaggedText:
    """A sentence, or a document of several.

    Attributes:
        words: As in the file.
        tags: As in the file, one for each word.
        text: The words joined by single spaces (documents: sentences joined by line breaks).
        word_starts: Where each word begins in the text, in code points.
        entities: What the tags mean, in the order of the text; none goes on from one sentence into the next.
        line: Where the first word stands in the file.
        document: Number of the document that it is, or is part of, from 0.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...]
    text: str
    word_starts: tuple[int, ...]
    entities: tuple[TaggedEntity, ...]
    line: int
    document: int = 0


@dataclass(frozen=True, slots=True)
class ConllFile:
    """All texts of a file in its order, never empty, and how they are tagged.

    Attributes:
        path: The file.
        scheme: How it is tagged.
        labels: The entity types, sorted.
        texts: Its sentences or documents.
        divided: Whether `-DOCSTART-` says where documents begin; if not, every sentence is one.
    """

    path: Path
    scheme: TaggingScheme
    labels: tuple[str, ...]
    texts: tuple[TaggedText, ...]
    divided: bool = True


@dataclass(frozen=True, slots=True)
class _Word:
    line: int
    word: str
    tag: str


_Sentence = list[_Word]


def read_conll(
    path: Path,
    *,
    unit: ConllUnit = "document",
    scheme: TaggingScheme | None = None,
    known_labels: Sequence[str] | None = None,
) -> ConllFile:
    """Read and check a file.

    Args:
        path: The file.
        unit: What becomes a text: all up to the next `-DOCSTART-` line, or all up to the next empty line. A file
            without `-DOCSTART-` has a document in each sentence.
        scheme: How it must be tagged, strictly; None finds out and takes broken tags as `entity_tags` describes.
        known_labels: Refuse entities of any other type.

    Raises:
        DataError: A line has the wrong columns, or a tag that is none; the message names the line.
    """
    documents, divided = _documents(path)
    sentences = [sentence for document in documents for sentence in document]
    if not sentences:
        raise DataError(path, None, "no word in the file")
    for sentence in sentences:
        _check_tags(path, sentence, scheme, known_labels)
    texts = [
        (number, text)
        for number, document in enumerate(documents)
        for text in ([document] if unit == "document" else [[sentence] for sentence in document])
    ]
    return ConllFile(
        path,
        scheme or detect_scheme([[word.tag for word in sentence] for sentence in sentences]),
        tuple(sorted({word.tag[2:] for sentence in sentences for word in sentence if word.tag != "O"})),
        tuple(_join(text, number) for number, text in texts),
        divided,
    )


def _documents(path: Path) -> tuple[list[list[_Sentence]], bool]:
    """Return the sentences of each document, and whether the file marks them; no document and no sentence is empty."""
    documents: list[list[_Sentence]] = [[[]]]
    for number, word, tag in _lines(path):
        if word == _DOCUMENT:
            documents.append([[]])
        elif word is None:
            documents[-1].append([])
        else:
            documents[-1][-1].append(_Word(number, word, tag))
    marked = len(documents) > 1
    filled = [[sentence for sentence in document if sentence] for document in documents]
    if marked:
        return [document for document in filled if document], True
    return [[sentence] for document in filled for sentence in document], False


def _lines(path: Path) -> Iterator[tuple[int, str | None, str]]:
    """Yield each line's number, word and tag; the word is None where the line is empty."""
    width = 0
    for number, line in enumerate(read_source(path).split("\n"), start=1):
        if not line.strip():
            yield number, None, ""
            continue
        # Other whitespace, a no-break space for one, belongs to the word.
        line = line.strip(" \t\r")
        columns = line.split("\t") if "\t" in line else _SPACES.split(line)
        if columns[0] == _DOCUMENT:
            yield number, _DOCUMENT, ""
            continue
        if len(columns) < 2:
            raise DataError(path, number, "one column, where a word and its tag are needed")
        width = width or len(columns)
        if len(columns) != width:
            raise DataError(path, number, f"{len(columns)} columns, where the lines before have {width}")
        word, tag = columns[0], columns[-1]
        if not TAG.fullmatch(tag):
            raise DataError(path, number, f"{tag!r} is no entity tag: neither O nor B-, I-, E- or S- and a type")
        yield number, word, tag


def _check_tags(
    path: Path, sentence: _Sentence, scheme: TaggingScheme | None, known_labels: Sequence[str] | None
) -> None:
    tags = ["O", *(word.tag for word in sentence), "O"]
    for word, before, after in zip(sentence, tags[:-2], tags[2:], strict=True):
        if known_labels is not None and word.tag != "O" and word.tag[2:] not in known_labels:
            known = ", ".join(known_labels)
            raise DataError(path, word.line, f"unknown label {word.tag[2:]!r}; the model's labels are: {known}")
        problem = None if scheme is None else violation(word.tag, before, after, scheme)
        if problem is not None:
            raise DataError(path, word.line, f"{word.tag}: {problem}")


def _join(sentences: Sequence[_Sentence], document: int) -> TaggedText:
    """Write a text, and note where its words and entities stand in it."""
    words: list[_Word] = []
    starts: list[int] = []
    entities: list[TaggedEntity] = []
    length = 0
    for sentence in sentences:
        offset = len(words)
        for word in sentence:
            starts.append(length)
            length += len(word.word) + 1  # the separator after it
        words += sentence
        for span in spans_of_tags([word.tag for word in sentence]):
            first, stop = offset + span.first, offset + span.stop
            end = starts[stop - 1] + len(words[stop - 1].word)
            entities.append(TaggedEntity(span.label, first, stop, starts[first], end))
    return TaggedText(
        words=tuple(word.word for word in words),
        tags=tuple(word.tag for word in words),
        text="\n".join(" ".join(word.word for word in sentence) for sentence in sentences),
        word_starts=tuple(starts),
        entities=tuple(entities),
        line=words[0].line,
        document=document,
    )
