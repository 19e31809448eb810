import asyncio
import json
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from typing import Any

import httpx
import pytest

from evaluation.asking import Answer, Asking, Refusal
from evaluation.errors import EvaluationError
from tests.evaluation.asked import Waits, ask

OK = {"label": "yes", "usage": {"tokens": 7}}


def problem(status: int, **headers: str) -> httpx.Response:
    return httpx.Response(
        status, json={"title": "Refused", "detail": "text has\nno visible characters"}, headers=headers
    )


def test_answers_come_in_the_order_of_the_items_however_they_arrive() -> None:
    last_first: dict[str, asyncio.Event] = {str(number): asyncio.Event() for number in range(4)}

    async def handler(request: httpx.Request) -> httpx.Response:
        text = json.loads(request.content)["text"]
        if text != "3":
            await last_first[str(int(text) + 1)].wait()
        last_first[text].set()
        return httpx.Response(200, json={"label": text, "usage": {"tokens": int(text)}})

    outcomes = ask(handler, [{"text": str(number)} for number in range(4)], Asking(concurrency=4))
    assert [outcome.body["label"] for outcome in outcomes if isinstance(outcome, Answer)] == ["0", "1", "2", "3"]
    assert [outcome.tokens for outcome in outcomes if isinstance(outcome, Answer)] == [0, 1, 2, 3]


def test_no_more_requests_are_under_way_than_allowed() -> None:
    under_way = most = 0

    async def handler(request: httpx.Request) -> httpx.Response:
        nonlocal under_way, most
        under_way += 1
        most = max(most, under_way)
        await asyncio.sleep(0)
        under_way -= 1
        return httpx.Response(200, json=OK)

    ask(handler, [{"text": "a"}] * 20, Asking(concurrency=3))
    assert most == 3


def test_requests_name_their_model_and_the_time_they_have() -> None:
    seen: list[dict[str, Any]] = []

    def handler(request: httpx.Request) -> httpx.Response:
        assert request.url.path == "/classify"
        seen.append(json.loads(request.content))
        return httpx.Response(200, json=OK)

    ask(handler, [{"text": "a"}], Asking(timeout_seconds=1.5))
    assert seen == [{"text": "a", "model": "m", "timeout_ms": 1500}]


@pytest.mark.parametrize("status", [413, 422])
def test_a_text_that_is_refused_is_an_outcome_in_one_line(status: int) -> None:
    outcomes = ask(lambda request: problem(status), [{"text": " "}], Asking())
    assert outcomes == [Refusal(f"{status} Refused: text has no visible characters")]


@pytest.mark.parametrize("status", [429, 503])
def test_a_busy_server_is_asked_again_when_it_says(status: int) -> None:
    responses = iter([problem(status, **{"Retry-After": "7"}), problem(status), httpx.Response(200, json=OK)])
    waits = Waits()
    (outcome,) = ask(lambda request: next(responses), [{"text": "a"}], Asking(sleep=waits.sleep))
    assert isinstance(outcome, Answer)
    assert waits.seconds == [7, 2]  # as told; without being told 1, 2, 4, ... by the number of the attempt


def test_a_date_to_come_back_is_understood() -> None:
    later = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    responses = iter([problem(503, **{"Retry-After": later}), httpx.Response(200, json=OK)])
    waits = Waits()
    ask(lambda request: next(responses), [{"text": "a"}], Asking(sleep=waits.sleep, patience_seconds=4000))
    assert waits.seconds == [pytest.approx(3600, abs=60)]


def test_a_server_that_stays_busy_ends_the_evaluation() -> None:
    waits = Waits()
    asking = Asking(sleep=waits.sleep, patience_seconds=20)
    with pytest.raises(EvaluationError, match=r"^http://service: still busy after 3 attempts: 429 Refused"):
        ask(lambda request: problem(429, **{"Retry-After": "9"}), [{"text": "a"}], asking)
    assert waits.seconds == [9, 9]


def test_a_lost_connection_is_tried_again_twice() -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        raise httpx.ReadError("connection reset")

    with pytest.raises(EvaluationError, match=r"^http://service: no answer: connection reset$"):
        ask(handler, [{"text": "a"}], Asking(sleep=Waits().sleep))
    assert calls == 3


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param(problem(401), "401 Refused: text has no visible characters", id="no key"),
        pytest.param(problem(500), "500 Refused: text has no visible characters", id="a failed run"),
        pytest.param(problem(504), "504 Refused: text has no visible characters", id="no time left"),
        pytest.param(httpx.Response(502, text="<p>Bad\ngateway"), "502 <p>Bad gateway", id="a proxy's own words"),
        pytest.param(httpx.Response(200, text="hello"), "an answer is not that of bigbird-serve", id="something else"),
        pytest.param(httpx.Response(200, json=[1]), "an answer is not that of bigbird-serve", id="other JSON"),
    ],
)
def test_anything_else_ends_the_evaluation_with_one_line(response: httpx.Response, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ask(lambda request: response, [{"text": "a"}] * 5, Asking(concurrency=2))
    assert str(caught.value) == f"http://service: {message}"
