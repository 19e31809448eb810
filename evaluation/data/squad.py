"""Questions in SQuAD's JSON, v1.1 and v2.0, and in the flat form of the `datasets` library.

    {"version": "v2.0", "data": [{"title": .., "paragraphs": [{"context": .., "qas": [
        {"id": .., "question": .., "is_impossible": false, "answers": [{"text": .., "answer_start": 17}]}]}]}]}

    {"id": .., "question": .., "context": .., "answers": {"text": [..], "answer_start": [17]}}

Flat questions stand in a list, in `data`, or on a line each. A file is v2.0 if it says so, or if a question has
`is_impossible`, or if one has no answers and the file does not say v1.1. Fields that are not needed may be missing.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from evaluation.data.located_json import LocatedJson, parse_json_lines, parse_located
from evaluation.data.source_text import Mistakes, has_json_lines, read_source

SquadVersion = Literal["v1.1", "v2.0"]


@dataclass(frozen=True, slots=True)
class SquadAnswer:
    """A right answer: `context[start:start + len(text)] == text`, in code points."""

    text: str
    start: int


@dataclass(frozen=True, slots=True)
class SquadExample:
    """A question.

    Attributes:
        id: As in the file, or made from its number where it has none.
        question: What is asked.
        context: Where the answer is looked for.
        answers: Empty exactly if the question is impossible.
        impossible: Whether it has no answer.
        line: Where it stands in the file.
    """

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
        DataError: Anything is missing or does not fit together; the message names the lines.
    """
    with Mistakes(path) as mistakes:
        values = list(_values(read_source(path), mistakes))
        versions = {_version(value) for value in values}
        questions = [question for value in values for question in _questions(value, mistakes)]
        if not questions and not mistakes.found:
            mistakes.add(None, "no question in the file")
        reader = _QuestionReader(mistakes, may_be_impossible="v1.1" not in versions)
        examples = tuple(reader.read(number, *question) for number, question in enumerate(questions, start=1))
    marked = any(question.has("is_impossible") for _, question in questions)
    second = "v2.0" in versions or marked or any(example.impossible for example in examples)
    return SquadFile(path, "v2.0" if second else "v1.1", examples)


def _values(source: str, mistakes: Mistakes) -> Iterator[LocatedJson]:
    """Yield the value of the file, or of each of its lines.

    `datasets` writes lines into files that end in `.json`, too; their second line is another object.
    """
    first, _, others = source.strip().partition("\n")
    if has_json_lines(mistakes.path) or (first.rstrip().endswith("}") and others.lstrip().startswith("{")):
        yield from parse_json_lines(source, mistakes)
    else:
        yield parse_located(source, mistakes)


def _version(value: LocatedJson) -> SquadVersion | None:
    """Return what a file says that it is, None if that is neither."""
    if not isinstance(value.value, dict) or not value.has("version"):
        return None
    versions: dict[str, SquadVersion] = {"1": "v1.1", "2": "v2.0"}
    return versions.get(str(value.field("version").value).lstrip("v")[:1])


def _questions(value: LocatedJson, mistakes: Mistakes) -> Iterator[tuple[str, LocatedJson]]:
    """Yield every question with its context."""
    with mistakes.collected():
        if isinstance(value.value, list):
            documents = value.items()
        elif value.has("paragraphs") or _is_flat(value):
            documents = [value]
        else:
            documents = value.field("data").items()
        for document in documents:
            with mistakes.collected():
                if _is_flat(document):
                    yield document.field("context").text(), document
                    continue
                for paragraph in document.field("paragraphs").items():
                    with mistakes.collected():
                        context = paragraph.field("context").text()
                        for question in paragraph.field("qas").items():
                            yield context, question


def _is_flat(value: LocatedJson) -> bool:
    return value.has("question") or value.has("context")


class _QuestionReader:
    """Notes all that is wrong with a question.

    Args:
        mistakes: Of the file.
        may_be_impossible: Whether a question without answers is impossible if nothing says so.
    """

    def __init__(self, mistakes: Mistakes, *, may_be_impossible: bool) -> None:
        self._mistakes = mistakes
        self._may_be_impossible = may_be_impossible
        self._line_of_id: dict[str, int] = {}

    def read(self, number: int, context: str, question: LocatedJson) -> SquadExample:
        """Return the question of this number; what is wrong is left empty."""
        name = text = ""
        answers: list[SquadAnswer] | None = None
        with self._mistakes.collected():
            if not question.has("id"):
                name = f"question-{number}"
            with self._mistakes.collected():
                name = name or self._id(question)
            with self._mistakes.collected():
                text = question.field("question").text()
            answers = self._answers(context, question)
        return SquadExample(name, text, context, tuple(answers or ()), answers == [], question.line)

    def _id(self, question: LocatedJson) -> str:
        """Return the id that the file gives, which may be a number."""
        own = question.field("id")
        given = str(own.value) if type(own.value) in (int, float) else own.text()
        if given in self._line_of_id:
            question.refuse(f"the id {given!r} was used on line {self._line_of_id[given]} already")
        self._line_of_id[given] = question.line
        return given

    def _answers(self, context: str, question: LocatedJson) -> list[SquadAnswer]:
        """Return the right answers, none if the question is impossible."""
        marked = question.has("is_impossible")
        impossible = marked and question.field("is_impossible").flag()
        listed = [] if impossible and not question.has("answers") else _listed(question.field("answers"))
        if impossible and listed:
            question.refuse("a question that is_impossible has answers")
        if not impossible and not listed and (marked or not self._may_be_impossible):
            question.refuse("answers is empty, and the question is not marked is_impossible")
        answers = []
        for answer in listed:
            with self._mistakes.collected():
                answers.append(_answer(context, answer))
        return answers


def _listed(answers: LocatedJson) -> list[LocatedJson]:
    """Return an object for each answer, also where there is one object with a list for each field."""
    if not isinstance(answers.value, dict):
        return answers.items()
    texts, starts = answers.field("text").items(), answers.field("answer_start").items()
    if len(texts) != len(starts):
        answers.refuse(f"answers has {len(texts)} text and {len(starts)} answer_start, where each needs the other")
    return [
        LocatedJson(text.path, text.line, "the answer", {"text": text, "answer_start": start})
        for text, start in zip(texts, starts, strict=True)
    ]


def _answer(context: str, answer: LocatedJson) -> SquadAnswer:
    text, start = answer.field("text").text(), answer.field("answer_start").index()
    if context[start : start + len(text)] != text:
        place = context.find(text)
        hint = "it does not stand in the context at all" if place < 0 else f"it stands there at {place}"
        answer.refuse(f"the answer {text[:60]!r} does not stand in the context at answer_start {start}: {hint}")
    return SquadAnswer(text, start)
