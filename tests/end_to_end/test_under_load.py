"""Requests of all lengths and tasks at once get the answers that they get alone, to the last bit; none is lost."""

import asyncio
from typing import Any

import httpx
import numpy as np

from benchmarks.running_server import RunningServer
from model_export.demo.reports import FIRST_EVALUATION_SEED, generate_report

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


def windows_and_batches(server: RunningServer) -> tuple[int, int]:
    """Return how many windows have run, and in how many batches."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    names = ("bigbird_batch_size_sum{", "bigbird_batch_size_count{")
    counts = [sum(float(line.rsplit(" ", 1)[1]) for line in lines if line.startswith(name)) for name in names]
    return round(counts[0]), round(counts[1])


def test_requests_under_load_get_the_answers_they_get_alone(server: RunningServer) -> None:
    begin = windows_and_batches(server)
    alone = asyncio.run(answers(server, clients=1))
    between = windows_and_batches(server)
    together = asyncio.run(answers(server, clients=CLIENTS))
    end = windows_and_batches(server)
    assert len(alone) == len(together) == REQUESTS
    assert [without_usage(answer) for answer in alone] == [without_usage(answer) for answer in together]
    assert {answer["usage"]["buckets"][0] for answer in alone} == {128, 704, 1024, 2048}
    # Alone every request had its batches for itself; under load many shared them.
    assert between[0] - begin[0] == between[1] - begin[1] >= REQUESTS
    assert end[0] - between[0] == between[0] - begin[0]
    assert end[1] - between[1] < 0.8 * (between[1] - begin[1])
