"""What browsers are told: by every answer, whatever it is, and by pages."""

import base64
import hashlib
import re
from typing import Any

import pytest

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
