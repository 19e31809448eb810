"""Which names a server answers for: its own, whatever a page's host name resolves to."""

import pytest

from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app


async def status_of(called: str, **settings: str) -> int:
    """Ask a server that listens as the settings say, by a name."""
    async with running_app({}, **settings) as (_, client):
        response = await client.get("/v1/models", headers={"host": called})
        if response.status_code == 400:
            assert response.json()["code"] == "malformed_request"
            assert "BIGBIRD_ALLOWED_HOSTS" in response.json()["detail"]
        return response.status_code


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "LOCALHOST:8000",
        "localhost.",
        "localhost.:80",
        "127.0.0.1:8000",
        "127.8.9.10",
        "[::1]",
        "[::1]:8000",
    ],
)
@asynchronous
async def test_on_loopback_the_names_of_loopback_pass(host: str) -> None:
    assert await status_of(host) == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "evil.example:127.0.0.1",
        "localhost:evil.example",
        "localhost@evil.example",
        "[::1].evil.example",
        "[::1",
        "0.0.0.0",
        "10.0.0.1",
        "",
    ],
)
@asynchronous
async def test_on_loopback_all_other_names_are_refused(host: str) -> None:
    assert await status_of(host, host="127.0.0.1, ::1") == 400


@pytest.mark.parametrize("host", ["bigbird.example.com", "BigBird.example.com.:443", "intern", "[2001:db8::1]:80"])
@asynchronous
async def test_on_loopback_the_names_that_are_allowed_pass(host: str) -> None:
    allowed = "bigbird.example.com, Intern,[2001:db8::1]"
    assert await status_of(host, allowed_hosts=allowed) == 200
    assert await status_of("evil.example", allowed_hosts=allowed) == 400


@pytest.mark.parametrize("listening", ["0.0.0.0", "127.0.0.1,10.0.0.1", "::"])
@asynchronous
async def test_where_others_can_reach_it_all_names_pass_until_some_are_given(listening: str) -> None:
    assert await status_of("evil.example", host=listening) == 200
    given = {"host": listening, "allowed_hosts": "bigbird.example.com"}
    assert await status_of("evil.example", **given) == 400
    # Probes come by the address of a pod.
    assert await status_of("10.0.0.1:8000", **given) == 200


@asynchronous
async def test_probes_and_pages_are_not_answered_to_other_names_either() -> None:
    async with running_app({}) as (_, client):
        for path in ("/health/live", "/metrics", "/docs", "/openapi.json", "/nothing"):
            assert (await client.get(path, headers={"host": "evil.example"})).status_code == 400
        assert (await client.get("/health/live")).status_code == 200
