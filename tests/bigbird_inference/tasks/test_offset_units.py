"""Positions as other languages count them; what they cut out is what Python's own codecs and node cut out."""

import dataclasses
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, get_args, get_type_hints

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.embedding import Embedding, EmbeddingAnswer, EmbeddingRequest, TokenVector
from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer, EntityRequest
from bigbird_inference.tasks.mask_filling import MaskAnswer, MaskFilling, MaskPrediction, MaskRequest
from bigbird_inference.tasks.offset_units import Position, Unit, count_positions
from bigbird_inference.tasks.question_answering import AnswerSpan, QuestionAnswer, QuestionRequest
from bigbird_inference.tasks.registry import TASKS
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.fake_model import MODEL_CONFIG
from tests.foreign_programs import find_program

PAGE = Path(__file__).resolve().parents[3] / "docs" / "http.md"
# Two emoji with a skin tone, a letter with a combining mark (e and U+0301), a line end of two characters, two Han.
TEXT = "👍🏽 cafe\u0301\r\n北京 Bergen"
#       0 1 2 3456 7    8 9 10   12    code points of 👍, 🏽, the space, c, ..., 北, B
#       0 2 4 5678 9   1011 12   15    in UTF-16: 👍 and 🏽 take two
#       0 4 8 9.. 12  14 15 16   23    in UTF-8: 4 and 4, U+0301 takes 2, 北 and 京 take 3 each


def cut(text: str, unit: Unit, start: int, end: int) -> str:
    """Cut as Python, JavaScript (two bytes for each of its units) and Go do."""
    match unit:
        case "code_points":
            return text[start:end]
        case "utf16":
            return text.encode("utf-16-le")[2 * start : 2 * end].decode("utf-16-le")
        case "utf8":
            return text.encode("utf-8")[start:end].decode("utf-8")


@pytest.mark.parametrize(
    ("unit", "cafe", "beijing", "bergen"),
    [
        ("code_points", (3, 8), (10, 12), (13, 19)),
        ("utf16", (5, 10), (12, 14), (15, 21)),
        ("utf8", (9, 15), (17, 23), (24, 30)),
    ],
)
def test_every_position_of_an_answer_is_counted(
    unit: Unit, cafe: tuple[int, int], beijing: tuple[int, int], bergen: tuple[int, int]
) -> None:
    entities = EntityAnswer([Entity("X", "cafe\u0301", 3, 8, 0.5), Entity("LOC", "北京", 10, 12, 0.25)])
    found = count_positions(entities, TEXT, unit).entities
    assert found == [Entity("X", "cafe\u0301", *cafe, 0.5), Entity("LOC", "北京", *beijing, 0.25)]

    spans = [AnswerSpan("Bergen", 0.5, 13, 19), AnswerSpan("", 0.25, 0, 0), AnswerSpan("北京", 0.125, 10, 12)]
    answer = count_positions(QuestionAnswer("Bergen", 0.5, 13, 19, spans), TEXT, unit)
    assert (answer.answer, answer.score, answer.start, answer.end) == ("Bergen", 0.5, *bergen)
    assert [(span.start, span.end) for span in answer.alternatives] == [bergen, (0, 0), beijing]

    prediction = MaskPrediction("Oslo", 7, 0.5, 13, 19, "a 13 b")
    assert count_positions(MaskAnswer([[prediction], []]), TEXT, unit).predictions == [
        [dataclasses.replace(prediction, start=bergen[0], end=bergen[1])],
        [],
    ]

    embedded = EmbeddingAnswer([13.0, 19.0], 2, [TokenVector("北京", 10, 12, [10.0, 12.0])])
    assert count_positions(embedded, TEXT, unit) == EmbeddingAnswer(
        [13.0, 19.0], 2, [TokenVector("北京", *beijing, [10.0, 12.0])]
    )
    assert count_positions(dataclasses.replace(embedded, tokens=None), TEXT, unit).tokens is None


@pytest.mark.parametrize("task", TASKS)
def test_tasks_that_tell_positions_take_the_unit(task: Any) -> None:
    operation = TASKS[task].operation
    fields = list(answer_fields(operation.answer))
    marked = {name for name, hint in fields if Position() in getattr(hint, "__metadata__", ())}
    assert marked == {name for name, _ in fields} & {"start", "end", "taken_start", "taken_end"}
    assert ("offsets" in operation.options) == bool(marked)
    assert operation.located_in in (operation.texts if marked else {None})


def answer_fields(hint: Any) -> Iterator[tuple[str, Any]]:
    """The fields of an answer, and those of what it holds."""
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        for name, own in get_type_hints(hint, include_extras=True).items():
            yield name, own
            yield from answer_fields(own)
    for part in get_args(hint):
        yield from answer_fields(part)


@pytest.fixture(scope="module")
def tasks(
    make_manifest: Callable[..., Manifest],
    tokenizer: Tokenizer,
    question_answering: Task[Any, Any],
    entity_recognition: Task[Any, Any],
) -> list[Task[Any, Any]]:
    mask_filling = MaskFilling(make_manifest(task="fill-mask"), tokenizer)
    return [question_answering, entity_recognition, mask_filling, Embedding(make_manifest(task="embed"), tokenizer)]


def request(task: Task[Any, Any], text: str, unit: Unit) -> Any:
    match task.manifest.task:
        case "qa":
            return QuestionRequest("Who?", text, top_k=5, no_answer=True, offsets=unit)
        case "ner":
            return EntityRequest(text, offsets=unit)
        case "fill-mask":
            return MaskRequest(f"{text}[MASK]{text} [MASK]", top_k=1, sequences=False, offsets=unit)
        case _:
            return EmbeddingRequest(text, tokens=True, offsets=unit)


def outputs(task: Task[Any, Any], encoded: EncodedRequest[Any], seed: int) -> list[Outputs]:
    generator = np.random.default_rng(seed)
    name, width = {
        "qa": ("logits", 2),
        "ner": ("logits", len(task.manifest.labels)),
        "fill-mask": ("logits", MODEL_CONFIG["vocab_size"]),
        "embed": ("hidden", MODEL_CONFIG["hidden_size"]),
    }[task.manifest.task]
    sequences = [window.sequence for window in encoded.windows]
    lengths = [len(own) if own.positions is None else len(own.positions) for own in sequences]
    return [{name: generator.normal(0, 2, (length, width)).astype(np.float32)} for length in lengths]


def spans(answer: Any) -> list[tuple[str, int, int]]:
    match answer:
        case QuestionAnswer():
            return [(span.answer, span.start, span.end) for span in (answer, *answer.alternatives)]
        case EntityAnswer():
            return [(entity.text, entity.start, entity.end) for entity in answer.entities]
        case MaskAnswer():
            return [("[MASK]", one.start, one.end) for ranked in answer.predictions for one in ranked]
        case _:
            return [(token.text, token.start, token.end) for token in answer.tokens]


@settings(max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(text=documents, seed=st.integers(0, 2**32 - 1), unit=st.sampled_from(["code_points", "utf16", "utf8"]))
def test_positions_of_any_document_cut_out_the_answer(
    tasks: list[Task[Any, Any]], text: str, seed: int, unit: Unit
) -> None:
    for task in tasks:
        asked = request(task, text, unit)
        try:
            encoded = task.encode(asked)
        except InvalidInput:  # nothing to see, or too long
            continue
        located = getattr(asked, str(task.operation.located_in))
        found = spans(task.answer(encoded, outputs(task, encoded, seed)))
        assert [cut(located, unit, start, end) for _, start, end in found] == [own for own, _, _ in found]


def documented(language: str) -> tuple[Unit, str]:
    """Return the unit and the expression that the page gives for a language."""
    (row,) = re.findall(rf"^\| {language} \| `(\w+)` \| `(.+)` \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return row


def test_what_the_page_says_for_python_and_go() -> None:
    unit, expression = documented("Python")
    assert eval(expression, {"text": TEXT, "start": 13, "end": 19}) == cut(TEXT, unit, 13, 19) == "Bergen"
    unit, expression = documented("Go")  # a string of Go is its bytes
    assert eval(expression, {"text": TEXT.encode(), "start": 24, "end": 30}) == b"Bergen"
    assert unit == "utf8"


@pytest.mark.integration
def test_what_the_page_says_for_javascript() -> None:
    find_program("node", package="nodejs")
    unit, expression = documented("JavaScript")
    places = [(3, 8), (10, 12), (13, 19), (0, 2)]
    answer = EntityAnswer([Entity("X", TEXT[start:end], start, end, 0.5) for start, end in places])
    sent = {
        "text": TEXT,
        "entities": [dataclasses.asdict(entity) for entity in count_positions(answer, TEXT, unit).entities],
    }
    program = f"""
        const {{text, entities}} = JSON.parse(require("fs").readFileSync(0, "utf8"));
        console.log(JSON.stringify(entities.map(({{start, end}}) => {expression})));
    """
    done = subprocess.run(["node", "-e", program], input=json.dumps(sent).encode(), capture_output=True, check=True)
    assert json.loads(done.stdout) == ["cafe\u0301", "北京", "Bergen", "👍🏽"]
