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


def test_429_without_end_ends_the_evaluation() -> None:
    waits = Waits()
    asking = Asking(sleep=waits.sleep, clock=waits.clock, patience_seconds=20)
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


def refused_option(detail: str, *fields: str) -> httpx.Response:
    errors = [{"field": field, "message": "wrong"} for field in fields]
    return httpx.Response(422, json={"title": "Invalid request", "detail": detail, "errors": errors})


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param(
            refused_option("Invalid fields: max_answer_tokens.", "max_answer_tokens"),
            "422 Invalid request: Invalid fields: max_answer_tokens.",
            id="a value is out of range",
        ),
        pytest.param(
            httpx.Response(422, json={"title": "Invalid input", "detail": "window_stride is 4000, but must be less"}),
            "422 Invalid input: window_stride is 4000, but must be less",
            id="it does not fit the model",
        ),
    ],
)
def test_a_refused_option_is_no_wrong_answer_when(response: httpx.Response, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        ask(lambda request: response, [{"text": "a"}] * 3, Asking(concurrency=1))
    assert str(caught.value) == f"http://service: an option was refused: {message}"


@pytest.mark.parametrize(
    "response",
    [
        pytest.param(refused_option("Invalid fields: text.", "text"), id="a field of the data"),
        pytest.param(httpx.Response(422, json={"title": "t", "detail": "The top_k is too high"}), id="no field"),
        pytest.param(httpx.Response(422, text="window_stride"), id="what is not a problem of ours"),
    ],
)
def test_a_refusal_stays_one_if_it_blames(response: httpx.Response) -> None:
    assert isinstance(ask(lambda request: response, [{"text": "a"}], Asking())[0], Refusal)


@pytest.mark.parametrize(
    "again",
    [
        pytest.param("0", id="at once"),
        pytest.param("Wed, 21 Oct 2015 07:28:00 GMT", id="at a time that is over"),
    ],
)
def test_a_server_that_stays_busy_is_not_asked_without_pause_or_end_when_it_says(again: str) -> None:
    waits = Waits()
    asking = Asking(sleep=waits.sleep, clock=waits.clock, patience_seconds=3)
    with pytest.raises(EvaluationError, match="still busy after 4 attempts"):
        ask(lambda request: problem(429, **{"Retry-After": again}), [{"text": "a"}], asking)
    assert waits.seconds == [1, 1, 1]


def test_patience_counts_the_time_that_the_server_takes_to_say_that_it_is_busy() -> None:
    waits = Waits()

    def handler(request: httpx.Request) -> httpx.Response:
        waits.now += 10
        return problem(503, **{"Retry-After": "1"})

    asking = Asking(sleep=waits.sleep, clock=waits.clock, patience_seconds=20)
    with pytest.raises(EvaluationError, match="still busy after 3 attempts"):
        ask(handler, [{"text": "a"}], asking)
    assert waits.seconds == [1, 1]  # 11 seconds to the second refusal, 22 to the third


def test_patience_with_a_busy_server_begins_when_it_says_so_for_the_first_time() -> None:
    waits = Waits()
    responses = iter([None, problem(503), problem(503), httpx.Response(200, json=OK)])

    def handler(request: httpx.Request) -> httpx.Response:
        response = next(responses)
        if response is None:
            waits.now += 1000
            raise httpx.ReadTimeout("late")
        return response

    (outcome,) = ask(handler, [{"text": "a"}], Asking(sleep=waits.sleep, clock=waits.clock))
    assert isinstance(outcome, Answer)
    assert waits.seconds == [1, 2, 4]


def test_an_answer_that_cannot_be_decompressed_is_one_line_after_three_attempts() -> None:
    calls = 0

    def handler(request: httpx.Request) -> httpx.Response:
        nonlocal calls
        calls += 1
        return httpx.Response(200, headers={"Content-Encoding": "gzip"}, stream=httpx.ByteStream(b"no gzip"))

    with pytest.raises(EvaluationError, match=r"^http://service: no answer: "):
        ask(handler, [{"text": "a"}], Asking(sleep=Waits().sleep))
    assert calls == 3


def test_only_what_is_needed_of_an_answer_is_kept() -> None:
    response = httpx.Response(200, json={**OK, "more": "x" * 1000})
    (outcome,) = ask(lambda request: response, [{"text": "a"}], Asking(), lambda body: {"label": body["label"]})
    assert outcome == Answer({"label": "yes"}, 7)
