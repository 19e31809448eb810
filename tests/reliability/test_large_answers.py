from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.reliability import large_answers
from tests.reliability.fuzzed_server import FuzzedServer, fuzzed_server
from tests.reliability.large_answers import LIST_ITEMS, LargeRequest, ordinary_requests


@pytest.fixture(scope="module")
def server() -> Iterator[FuzzedServer]:
    with fuzzed_server() as running:
        yield running


@pytest.mark.parametrize("request_of_all", ordinary_requests(LIST_ITEMS), ids=lambda request: request.task)
def test_a_full_list_of_ordinary_texts_is_answered(server: FuzzedServer, request_of_all: LargeRequest) -> None:
    response = httpx.post(f"{server.running.url}/{request_of_all.task}", json=dict(request_of_all.body), timeout=300)
    assert response.status_code == 200, response.text
    assert len(response.json()["results"]) == LIST_ITEMS


@pytest.mark.slow
def test_the_worst_requests_leave_no_memory_behind(demo_bundles: Path) -> None:
    report = large_answers.run(0.1)
    assert report.failures == ()
