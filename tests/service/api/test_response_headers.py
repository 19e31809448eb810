"""What browsers are told: by every answer, whatever it is, and by pages."""

import base64
import hashlib
import re
from typing import Any

import pytest

from service.security.access import key_line
from service.settings import InvalidSettings, load_settings
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

STRICT = "default-src 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        pytest.param("POST", "/ner", {"text": "10"}, 200, id="an answer"),
        pytest.param("POST", "/ner", {"text": ""}, 422, id="a refusal"),
        pytest.param("POST", "/ner", {"text": "crash while encoding"}, 500, id="an unexpected error"),
        pytest.param("GET", "/nothing", None, 404, id="nothing there"),
        pytest.param("GET", "/metrics", None, 200, id="metrics"),
        pytest.param("GET", "/openapi.json", None, 200, id="the description"),
        pytest.param("GET", "/v1/models", None, 401, id="a key that is missing"),
    ],
)
@asynchronous
async def test_every_answer_is_data_that_nobody_keeps(
    method: str, path: str, body: dict[str, str] | None, status: int
) -> None:
    keys: dict[str, Any] = {"api_keys": f"a sha256:{'0' * 64}"} if status == 401 else {}
    async with running_app(**keys) as (_, client):
        response = await client.request(method, path, json=body)
    assert response.status_code == status
    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["cache-control"] == "no-store"
    assert response.headers["content-security-policy"] == STRICT
    assert response.headers["referrer-policy"] == "no-referrer"
    assert response.headers["cross-origin-resource-policy"] == "same-origin"
    assert "server" not in response.headers


@asynchronous
async def test_a_page_runs_only_what_is_its_own_and_stands_in_no_frame() -> None:
    async with running_app() as (_, client):
        page = await client.get("/docs")
    policy = dict(part.strip().split(" ", 1) for part in page.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'" and policy["frame-ancestors"] == "'none'"
    assert policy["connect-src"] == "'self'" and policy["base-uri"] == "'none'" and policy["form-action"] == "'none'"
    assert "unsafe" not in policy["script-src"] and "http" not in policy["script-src"]
    # Every script inside the page, and no other, by its hash.
    scripts = re.findall(r"<script>(.*?)</script>", page.text, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts]
    assert policy["script-src"].split() == ["'self'", *(f"'sha256-{digest}'" for digest in hashes)] and scripts
    assert page.headers["x-frame-options"] == "DENY"
    assert page.headers["cross-origin-opener-policy"] == "same-origin"
    assert "camera=()" in page.headers["permissions-policy"]


@asynchronous
async def test_a_page_without_a_policy_of_its_own_may_run_nothing() -> None:
    from starlette.responses import HTMLResponse

    async with running_app() as (app, client):

        @app.get("/careless", response_class=HTMLResponse)
        async def careless() -> str:
            return "<script>alert(1)</script>"

        page = await client.get("/careless")
    assert page.headers["content-security-policy"] == STRICT
    assert page.headers["x-frame-options"] == "DENY"


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
    ("origins", "message"),
    [
        pytest.param("*", "would let every page of the web use the service; name origins", id="everybody"),
        pytest.param("null", "would let every page of the web", id="the origin of sandboxes and files"),
        pytest.param("https://*.example.com", "is not an origin; write https://app.example.com, with", id="a pattern"),
        pytest.param("app.example.com", "write https://app.example.com or http://app.example.com", id="no scheme"),
        pytest.param("localhost:3000", "write https://localhost:3000 or http://localhost:3000", id="a port alone"),
        pytest.param("https://app.example.com/", "write https://app.example.com (", id="a slash"),
        pytest.param("http://app.example.com/ui/", "write http://app.example.com (", id="a path"),
        pytest.param("https://App.example.com", "write https://app.example.com (", id="capitals"),
        pytest.param("https://app.example.com:443", "write https://app.example.com (", id="the usual port"),
        pytest.param("https://user@app.example.com", "is not an origin; write", id="a user"),
        pytest.param("https://app.example.com https://b.example.com", "with commas between several", id="no comma"),
        pytest.param("https://app.example.com,", "'' is not an origin", id="a list that does not go on"),
        pytest.param("file://", "'file://' is not an origin", id="files"),
    ],
)
def test_an_origin_is_named_exactly(origins: str, message: str) -> None:
    with pytest.raises(InvalidSettings, match="BIGBIRD_CORS_ORIGINS: ") as refused:
        load_settings(cors_origins=origins)
    assert message in str(refused.value)
