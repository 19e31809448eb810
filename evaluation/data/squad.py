"""Questions in SQuAD's JSON, v1.1 and v2.0.

    {"version": "v2.0", "data": [{"title": .., "paragraphs": [{"context": .., "qas": [
        {"id": .., "question": .., "is_impossible": false, "answers": [{"text": .., "answer_start": 17}]}]}]}]}

A file is v2.0 if it says so or if a question has `is_impossible`. Fields that are not needed may be missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation.data.located_json import LocatedJson, parse_located
from evaluation.data.source_text import DataError, read_source

SquadVersion = Literal["v1.1", "v2.0"]


@dataclass(frozen=True, slots=True)
class SquadAnswer:
    """A right answer: `context[start:start + len(text)] == text`, in code points."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SquadExample:
    """A question; `answers` is empty exactly if it is `impossible`; `line` is where it stands in the file."""

    id: str
    question: str
    context: str
    answers: tuple[SquadAnswer, ...]
    impossible: bool
    line: int


@dataclass(frozen=True, slots=True)
class SquadFile:
    """All questions of a file in its order; never empty."""

    path: Path
    version: SquadVersion
    examples: tuple[SquadExample, ...]


def read_squad(path: Path) -> SquadFile:
    """Read and check a file.

    Raises:
        DataError: Anything is missing or does not fit together; the message names the line.
    """
    file = parse_located(read_source(path), path)
    questions = list(_questions(file))
    if not questions:
        raise DataError(path, None, "no question in the file")
    examples = tuple(_example(context, question) for context, question in questions)
    _refuse_repeated_ids(path, examples)
    marked = any(question.has("is_impossible") for _, question in questions)
    named = file.has("version") and str(file.field("version").value).lstrip("v").startswith("2")
    return SquadFile(path, "v2.0" if marked or named else "v1.1", examples)


def _questions(file: LocatedJson) -> Iterator[tuple[str, LocatedJson]]:
    """Yield every question with its context."""
    for document in file.field("data").items():
        for paragraph in document.field("paragraphs").items():
            context = paragraph.field("context").text()
            for question in paragraph.field("qas").items():
                yield context, question


def _example(context: str, question: LocatedJson) -> SquadExample:
    impossible = question.has("is_impossible") and question.field("is_impossible").flag()
    given = question.field("answers").items() if not impossible or question.has("answers") else []
    answers = tuple(_answer(context, answer) for answer in given)
    if impossible and answers:
        question.refuse("a question that is_impossible has answers")
    if not impossible and not answers:
        question.refuse("answers is empty, and the question is not marked is_impossible")
    return SquadExample(
        id=question.field("id").text(),
        question=question.field("question").text(),
        context=context,
        answers=answers,
        impossible=impossible,
        line=question.line,
    )


def _answer(context: str, answer: LocatedJson) -> SquadAnswer:
    text, start = answer.field("text").text(), answer.field("answer_start").index()
    if context[start : start + len(text)] != text:
        place = context.find(text)
        hint = "it does not stand in the context at all" if place < 0 else f"it stands there at {place}"
        answer.refuse(f"the answer {text[:60]!r} does not stand in the context at answer_start {start}: {hint}")
    return SquadAnswer(text, start)


def _refuse_repeated_ids(path: Path, examples: tuple[SquadExample, ...]) -> None:
    lines: dict[str, int] = {}
    for example in examples:
        if example.id in lines:
            raise DataError(path, example.line, f"the id {example.id!r} was used on line {lines[example.id]} already")
        lines[example.id] = example.line
