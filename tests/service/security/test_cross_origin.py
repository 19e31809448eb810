"""Pages of other origins: kept out by default, let in by name, never with cookies."""

from typing import Any

import pytest

from service.security.access import key_line
from service.settings import InvalidSettings, load_settings
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

OURS = "https://app.example.com"
PREFLIGHT = {
    "access-control-request-method": "POST",
    "access-control-request-headers": "content-type,authorization",
}


@asynchronous
async def test_by_default_no_page_of_another_origin_may_read_or_send() -> None:
    async with running_app() as (_, client):
        preflight = await client.options("/ner", headers={"origin": OURS, **PREFLIGHT})
        answer = await client.post("/ner", json={"text": "10"}, headers={"origin": OURS})
    assert preflight.status_code == 405
    for response in (preflight, answer):
        assert not [name for name in response.headers if name.startswith("access-control")]


@asynchronous
async def test_a_named_origin_may_and_others_may_not() -> None:
    settings: dict[str, Any] = {"cors_origins": f"{OURS}, http://localhost:3000", "api_keys": key_line("page", "key")}
    async with running_app(**settings) as (_, client):
        for origin, allowed in (
            (OURS, True),
            ("http://localhost:3000", True),
            ("https://evil.example.com", False),
            ("https://app.example.com.evil.com", False),
            ("http://app.example.com", False),
            ("null", False),
        ):
            preflight = await client.options("/ner", headers={"origin": origin, **PREFLIGHT})
            refused = await client.post("/ner", json={"text": "10"}, headers={"origin": origin})
            answer = await client.post(
                "/ner", json={"text": "10"}, headers={"origin": origin, "authorization": "Bearer key"}
            )
            assert (refused.status_code, answer.status_code) == (401, 200)
            for response in (preflight, refused, answer):
                assert response.headers.get("access-control-allow-origin") == (origin if allowed else None)
                # A page that others share must not be answered with what a browser sends by itself.
                assert "access-control-allow-credentials" not in response.headers
            assert preflight.status_code == (200 if allowed else 400)


@pytest.mark.parametrize(
    "origins",
    [
        pytest.param("*", id="everybody"),
        pytest.param("https://*.example.com", id="a pattern"),
        pytest.param("null", id="the origin of sandboxes and files"),
        pytest.param("app.example.com", id="no scheme"),
        pytest.param("https://app.example.com/", id="a path"),
        pytest.param("https://user@app.example.com", id="a user"),
        pytest.param("https://app.example.com https://b.example.com", id="no comma"),
        pytest.param("https://app.example.com,", id="a list that does not go on"),
        pytest.param("file://", id="files"),
    ],
)
def test_an_origin_is_named_exactly(origins: str) -> None:
    with pytest.raises(InvalidSettings, match="BIGBIRD_CORS_ORIGINS"):
        load_settings(cors_origins=origins)
