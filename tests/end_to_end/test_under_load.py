"""Requests of all lengths and tasks at once get the answers that they get alone, to the last bit; none is lost."""

import asyncio
from typing import Any

import httpx
import numpy as np
import pytest

from benchmarks.running_server import RunningServer
from demo.reports import FIRST_EVALUATION_SEED, generate_report

pytestmark = pytest.mark.integration  # takes long

REQUESTS = 200
CLIENTS = 64


def requests() -> list[tuple[str, dict[str, Any]]]:
    """Return paths and bodies: reports of 50 to 1,900 tokens, most of them short, in turn for each task."""
    normal = np.random.default_rng(7).standard_normal(REQUESTS)
    lengths = np.clip(250 * np.exp(0.9 * normal), 50, 1900).astype(int)
    made: list[tuple[str, dict[str, Any]]] = []
    for number, length in enumerate(lengths.tolist()):
        report = generate_report(FIRST_EVALUATION_SEED + number, length)
        match number % 3:
            case 0:
                made.append(("/classify", {"text": report.text}))
            case 1:
                made.append(("/ner", {"text": report.text}))
            case _:
                question = report.questions[0].text if report.questions else "Who leads the project?"
                made.append(("/qa", {"question": question, "context": report.text}))
    return made


async def answers(server: RunningServer, clients: int) -> list[dict[str, Any]]:
    """Post everything, so many requests at a time; return the answers in the order of the requests."""
    turns = asyncio.Semaphore(clients)
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=server.url, timeout=300, limits=limits) as client:

        async def post(path: str, body: dict[str, Any]) -> dict[str, Any]:
            async with turns:
                response = await client.post(path, json=body)
            assert response.status_code == 200, response.text
            answer: dict[str, Any] = response.json()
            return answer

        return await asyncio.gather(*(post(path, body) for path, body in requests()))


def without_usage(answer: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in answer.items() if name != "usage"}


async def answers_under_load(server: RunningServer) -> tuple[list[dict[str, Any]], float]:
    """Return the answers, and how many windows have been seen waiting at once."""
    asking = asyncio.create_task(answers(server, clients=CLIENTS))
    most = 0.0
    async with httpx.AsyncClient(base_url=server.url, timeout=300) as client:
        while not asking.done():
            lines = (await client.get("/metrics")).text.splitlines()
            depths = [float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith("bigbird_queue_depth{")]
            most = max(most, sum(depths))
    return await asking, most


def test_requests_under_load_get_the_answers_they_get_alone(server: RunningServer) -> None:
    alone = asyncio.run(answers(server, clients=1))
    together, most_waiting = asyncio.run(answers_under_load(server))
    assert len(alone) == len(together) == REQUESTS
    assert [without_usage(answer) for answer in alone] == [without_usage(answer) for answer in together]
    assert {answer["usage"]["buckets"][0] for answer in alone} == {64, 128, 704, 1024, 2048}
    assert most_waiting > CLIENTS / 2
