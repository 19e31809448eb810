"""Words with entity tags, one on each line, in the columns of CoNLL.

    -DOCSTART- -X- O O

    EU NNP B-NP B-ORG
    rejects VBZ B-VP O

The first column holds the words, the last one the tags (two columns do). Columns are separated by spaces or tabs; with
tabs, words may hold spaces. An empty line ends a sentence, `-DOCSTART-` begins a document. Before a sentence there may
be comments, lines that begin with `#`.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bigbird_inference.tasks.label_scheme import OUTSIDE, POSITION_PREFIX, LabelScheme
from evaluation.data.entity_tags import (
    TaggingScheme,
    TagReading,
    detect_scheme,
    entity_types,
    read_tags,
    spans_of_tags,
    violations,
)
from evaluation.data.entity_texts import Entity, EntityFile, EntityText
from evaluation.data.source_text import Mistakes, read_source, unknown_label

ConllUnit = Literal["sentence", "document"]

_DOCUMENT = "-DOCSTART-"
_SPACES = re.compile(" +")


@dataclass(frozen=True, slots=True)
class TaggedEntity(Entity):
    """An entity that words `[first, stop)` are."""

    first: int
    stop: int


@dataclass(frozen=True, slots=True)
class TaggedText(EntityText):
    """A sentence, or a document of several: words joined by single spaces, sentences by line breaks.

    Attributes:
        entities: What the tags mean; none goes on from one sentence into the next.
        line: Where the first word stands in the file.
        words: As in the file.
        tags: As in the file, one for each word.
        word_starts: Where each word begins in the text, in code points.
    """

    entities: tuple[TaggedEntity, ...]
    words: tuple[str, ...]
    tags: tuple[str, ...]
    word_starts: tuple[int, ...]

    def count_cuts(self, spans: Iterable[tuple[int, int]]) -> int:
        """Count the spans `[start, end)` that begin or end elsewhere than a word does."""
        starts = set(self.word_starts)
        ends = {begin + len(word) for begin, word in zip(self.word_starts, self.words, strict=True)}
        return sum(start not in starts or end not in ends for start, end in spans)


@dataclass(frozen=True, slots=True)
class ConllFile(EntityFile):
    """The sentences or documents of a file; without `-DOCSTART-`, which divides it, every sentence is a document."""

    texts: tuple[TaggedText, ...]


@dataclass(frozen=True, slots=True)
class _Word:
    """A word; the tag is empty where the line has none, or is not like the others."""

    line: int
    word: str
    tag: str


_Sentence = list[_Word]


def read_conll(
    path: Path,
    *,
    unit: ConllUnit = "document",
    scheme: TaggingScheme | None = None,
    model_labels: Sequence[str] | None = None,
) -> ConllFile:
    """Read and check a file.

    Args:
        path: The file.
        unit: What becomes a text: all up to the next `-DOCSTART-` line, or all up to the next empty line. A file
            without `-DOCSTART-` has a document in each sentence.
        scheme: How it must be tagged, strictly; None finds out and takes broken tags as `entity_tags` describes.
        model_labels: Refuse entities of other types than these labels have. A file that has no other tags than these
            labels is read as a model with these labels is served.

    Raises:
        DataError: A line has the wrong columns, or a tag that is none; the message names the lines.
    """
    with Mistakes(path) as mistakes:
        documents, divided = _documents(mistakes)
        sentences = [sentence for document in documents for sentence in document]
        if not sentences and not mistakes.found:
            mistakes.add(None, "no word in the file")
        sequences = [[word.tag for word in sentence] for sentence in sentences]
        reading = read_tags({tag for tags in sequences for tag in tags if tag}, model_labels or ())
        known_types = None if model_labels is None else entity_types(model_labels)
        for sentence in sentences:
            _check_tags(mistakes, sentence, reading, scheme, known_types)
    texts = tuple(
        _join(text, number, reading.scheme)
        for number, document in enumerate(documents)
        for text in ([document] if unit == "document" else [[sentence] for sentence in document])
    )
    return ConllFile(
        path,
        tuple(sorted({entity.label for text in texts for entity in text.entities})),
        texts,
        scheme or detect_scheme(sequences, reading.scheme),
        divided,
    )


def _documents(mistakes: Mistakes) -> tuple[list[list[_Sentence]], bool]:
    """Return the sentences of each document, and whether the file marks them; no document and no sentence is empty."""
    documents: list[list[_Sentence]] = [[[]]]
    for number, word, tag in _lines(mistakes):
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


def _lines(mistakes: Mistakes) -> Iterator[tuple[int, str | None, str]]:
    """Yield each line's number, word and tag; the word is None where the line is empty."""
    lines = [_columns(line) for line in read_source(mistakes.path).split("\n")]
    ordinary = [line for line in lines if len(line) > 1 and line[0] != _DOCUMENT and not line[0].startswith("#")]
    width = len(ordinary[0]) if ordinary else 2
    tags = {OUTSIDE, *(line[-1] for line in ordinary)}
    within = False
    for number, columns in enumerate(lines, start=1):
        if not within and columns and _is_comment(columns, width, tags):
            continue
        within = bool(columns) and columns[0] != _DOCUMENT
        if not within:
            yield number, columns[0] if columns else None, ""
        elif len(columns) == width:
            yield number, columns[0], columns[-1]
        else:
            yield number, columns[0], ""
            mistakes.add(
                number,
                "one column, where a word and its tag are needed"
                if len(columns) < 2
                else f"{len(columns)} columns, where the lines before have {width}",
            )


def _columns(line: str) -> list[str]:
    # Other whitespace, a no-break space for one, belongs to the word.
    visible = line.strip(" \t") if line.strip() else ""
    if not visible:
        return []
    return visible.split("\t") if "\t" in visible else _SPACES.split(visible)


def _is_comment(columns: Sequence[str], width: int, tags: Collection[str]) -> bool:
    """Tell a comment from a word that begins with `#`, which has as many columns as others and a tag."""
    if not columns[0].startswith("#"):
        return False
    is_tag = columns[-1] in tags or POSITION_PREFIX.match(columns[-1])
    return len(columns) != width or (columns[0].split(" ")[0] == "#" and not is_tag)


def _check_tags(
    mistakes: Mistakes,
    sentence: _Sentence,
    reading: TagReading,
    scheme: TaggingScheme | None,
    known_types: Sequence[str] | None,
) -> None:
    tags = [None if word.tag in reading.unread else word.tag or None for word in sentence]
    for word, tag in zip(sentence, tags, strict=True):
        if tag is not None:
            label = reading.type_of(tag)
            if known_types is not None and label != OUTSIDE and label not in known_types:
                mistakes.add(word.line, unknown_label(label, known_types))
        elif word.tag:
            mistakes.add(
                word.line,
                f"{word.tag!r} is not an entity tag: neither O nor B-, I-, E-, L-, S- or U- and a type; a type alone "
                "is one where no tag of the file has these",
            )
    if scheme is not None:
        for index, problem in violations(tags, scheme, reading.scheme):
            mistakes.add(sentence[index].line, f"{tags[index]}: {problem}")


def _join(sentences: Sequence[_Sentence], document: int, scheme: LabelScheme) -> TaggedText:
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
        for span in spans_of_tags([word.tag for word in sentence], scheme):
            first, stop = offset + span.first, offset + span.stop
            end = starts[stop - 1] + len(words[stop - 1].word)
            entities.append(TaggedEntity(span.label, starts[first], end, first, stop))
    return TaggedText(
        words=tuple(word.word for word in words),
        tags=tuple(word.tag for word in words),
        text="\n".join(" ".join(word.word for word in sentence) for sentence in sentences),
        word_starts=tuple(starts),
        entities=tuple(entities),
        line=words[0].line,
        document=document,
    )
