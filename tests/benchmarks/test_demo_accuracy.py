import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from tqdm import tqdm

from benchmarks.demo_accuracy import Row, Sample, Service, markdown, measure_entities, measure_questions, measure_types
from demo.questions import Question
from demo.reports import Entity, Report

pytestmark = pytest.mark.anyio

Answer = Callable[[dict[str, Any]], dict[str, Any]]

TEXT = "Project Heron is led by Ana Silva. Project Kite is led by Ivan Novak."
ANA, IVAN = (24, 33), (58, 68)


def question(text: str, answer: tuple[int, int] | None, mentioned: bool = True, alike: int = 2) -> Question:
    start, end = answer or (0, 0)
    mentions = ((0, 13),) if mentioned else ()
    return Question(text, TEXT[start:end], start, end, "leader", mentions, (), ((0, 1),) * alike)


QUESTIONS = (
    question("Who leads Project Heron?", ANA),
    question("Who leads Project Kite?", IVAN, alike=11),
    question("Who pays for Project Heron?", None),
    question("Who leads Project Owl?", None, mentioned=False),
)
REPORT = Report(TEXT, "research", (Entity("PER", *ANA), Entity("PER", *IVAN)), QUESTIONS[:2], QUESTIONS[2:])
SAMPLE = Sample("fp32", 20, [REPORT], [(REPORT, each) for each in QUESTIONS])


def service(answer: Answer) -> Service:
    def handle(request: httpx.Request) -> httpx.Response:
        usage = {"tokens": 40, "windows": 1}
        return httpx.Response(200, json={"usage": usage, **answer(json.loads(request.content))})

    client = httpx.AsyncClient(transport=httpx.MockTransport(handle), base_url="http://server")
    return Service(client, 2, tqdm(disable=True))


def span(start: int, end: int) -> dict[str, Any]:
    return {"answer": TEXT[start:end], "start": start, "end": end}


RIGHT = {"Who leads Project Heron?": span(*ANA), "Who leads Project Kite?": span(*IVAN)}
NONE = span(0, 0)


async def figures(answer: Answer) -> dict[str, float]:
    return {row.metric: row.value for row in await measure_questions(service(answer), SAMPLE)}


async def test_a_service_that_is_always_right_has_full_marks() -> None:
    assert await figures(lambda body: RIGHT.get(body["question"], NONE)) == {
        "exact match": 1.0,
        "no-answer F1": 1.0,
        "exact match, 10 or more alike": 1.0,
        "no-answer recall, not stated": 1.0,
        "no-answer recall, subject absent": 1.0,
    }


async def test_a_service_that_never_answers_finds_all_that_is_missing_and_nothing_else() -> None:
    # Of four times "none" two are right: precision 1/2, recall 1.
    assert await figures(lambda body: NONE) == {
        "exact match": 0.0,
        "no-answer F1": pytest.approx(2 / 3),
        "exact match, 10 or more alike": 0.0,
        "no-answer recall, not stated": 1.0,
        "no-answer recall, subject absent": 1.0,
    }


async def test_the_same_words_at_another_place_are_wrong() -> None:
    moved = {name: {**answer, "start": answer["start"] - 1, "end": answer["end"] - 1} for name, answer in RIGHT.items()}
    found = await figures(lambda body: moved.get(body["question"], NONE))
    assert found["exact match"] == 0.0
    assert found["no-answer F1"] == 1.0


async def test_an_answer_where_there_is_none_costs_recall() -> None:
    found = await figures(lambda body: NONE if "Owl" in body["question"] else RIGHT.get(body["question"], span(*ANA)))
    assert found["no-answer recall, not stated"] == 0.0
    assert found["no-answer recall, subject absent"] == 1.0
    assert found["no-answer F1"] == pytest.approx(2 / 3)  # precision 1, recall 1/2


async def test_a_type_is_right_or_wrong() -> None:
    (right,) = await measure_types(service(lambda body: {"label": "research"}), SAMPLE)
    (wrong,) = await measure_types(service(lambda body: {"label": "legal"}), SAMPLE)
    assert (right.value, wrong.value) == (1.0, 0.0)


async def test_an_entity_is_right_with_its_label_start_and_end() -> None:
    found = [
        {"entity": "PER", "start": 24, "end": 33},
        {"entity": "ORG", "start": 58, "end": 68},
        {"entity": "PER", "start": 58, "end": 67},
    ]
    (row,) = await measure_entities(service(lambda body: {"entities": found}), SAMPLE)
    assert row.value == pytest.approx(2 / 5)  # one right of three found and two expected
    assert (row.entities, row.items) == (2, 2)


SCORES = {"fp32": 0.95, "int8": 0.945}


def test_the_table_has_a_column_for_each_precision() -> None:
    rows = [Row(name, "qa", "exact match", 200, 216, 0.25, 300, 6, 900, value) for name, value in SCORES.items()]
    head, rule, line = markdown(rows).splitlines()
    assert head.endswith("| Items | fp32 | int8 |")
    assert rule.count("|") == head.count("|") == line.count("|")
    assert line == "| qa | exact match | 200 | 216 | 25% | 300 | 6 | 900 | 0.950 | 0.945 |"
