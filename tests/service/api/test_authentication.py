"""Keys over HTTP: who comes in, who is turned away before anything is read, and what is counted and told."""

import json
from collections.abc import Iterator, Mapping
from typing import Any, get_args

import httpx
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute, iter_route_contexts

from bigbird_inference.manifest import TaskName
from service.api.authentication import RequireAdmin
from service.security.access import key_line
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app
from tests.service.telemetry.captured_logs import captured_log

KEYS: dict[str, Any] = {"api_keys": f"{key_line('reporting', 'first-key')}, {key_line('batch', 'second-key')}"}
ADMIN: dict[str, Any] = {"admin_key": key_line("root", "admin-key")}
OPEN = {
    *("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/metrics"),
    *("/openapi.json", "/", "/docs", "/docs/assets/swagger-ui.css"),
    "/playground/style.css",
}
TASKS = sorted(f"/{task}" for task in get_args(TaskName))


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def problem(response: httpx.Response, status: int, code: str) -> None:
    assert (response.status_code, response.json()["code"]) == (status, code), response.text
    plain = response.url.path.startswith("/v2")
    assert response.headers["content-type"] == ("application/json" if plain else "application/problem+json")


def protected(app: FastAPI) -> Iterator[tuple[str, str]]:
    """Give every route of the application that is not meant to be open, so that a new one is in the test by itself."""
    for route in (context.original_route for context in iter_route_contexts(app.routes)):
        open_path = route.path.replace("{name:path}", "style.css") if isinstance(route, APIRoute) else None
        if isinstance(route, APIRoute) and (open_path not in OPEN or "POST" in route.methods):
            for method in route.methods:
                yield method, route.path.replace("{name}", "fake-ner").replace("{version}", "1")


@asynchronous
async def test_without_configured_keys_everybody_may_use_the_service() -> None:
    async with running_app() as (_, client):
        for headers in ({}, bearer("anything"), {"authorization": "Basic anything"}):
            assert (await client.post("/ner", json={"text": "10"}, headers=headers)).status_code == 200
            assert (await client.get("/v1/models", headers=headers)).status_code == 200


@asynchronous
async def test_every_route_that_is_not_meant_to_be_open_asks_for_a_key() -> None:
    async with running_app(**KEYS) as (app, client):
        routes = list(protected(app))
        assert {*(("POST", task) for task in TASKS), ("GET", "/v1/models"), ("POST", "/")} <= set(routes)
        for method, path in routes:
            response = await client.request(method, path, json={"text": "10"})
            problem(response, 401, "unauthorized")
            assert response.headers["www-authenticate"] == 'Bearer realm="bigbird-serve"'
        problem(await client.get("/no/such/path"), 401, "unauthorized")
        problem(await client.get("/health/live/../../v1/models"), 401, "unauthorized")


@pytest.mark.parametrize("path", sorted(OPEN))
@asynchronous
async def test_what_machines_and_readers_ask_for_stays_open(path: str) -> None:
    async with running_app(**KEYS, **ADMIN) as (_, client):
        assert (await client.get(path, follow_redirects=True)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([("authorization", "Bearer first-key")], id="the first key"),
        pytest.param([("authorization", "Bearer second-key")], id="another key"),
        pytest.param([("authorization", "bearer first-key")], id="the scheme in small letters"),
        pytest.param([("authorization", "Bearer   first-key ")], id="more spaces than needed"),
        pytest.param([("authorization", "Bearer admin-key")], id="the admin key opens what any key opens"),
    ],
)
@asynchronous
async def test_a_known_key_opens_the_service(headers: list[tuple[str, str]]) -> None:
    async with running_app(**KEYS, **ADMIN) as (_, client):
        assert (await client.post("/ner", json={"text": "10"}, headers=headers)).status_code == 200
        assert (await client.get("/v1/models", headers=headers)).status_code == 200


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param([], id="no header"),
        pytest.param([("authorization", "")], id="an empty header"),
        pytest.param([("authorization", "Bearer")], id="no key"),
        pytest.param([("authorization", "Bearer ")], id="an empty key"),
        pytest.param([("authorization", "first-key")], id="no scheme"),
        pytest.param([("authorization", "Basic first-key")], id="another scheme"),
        pytest.param([("authorization", "Bearer first-key2")], id="a longer key"),
        pytest.param([("authorization", "Bearer first-ke")], id="a shorter key"),
        pytest.param([("authorization", "Bearer FIRST-KEY")], id="other letters"),
        pytest.param([("authorization", f"Bearer {key_line('a', 'first-key').split(':')[1]}")], id="a key's hash"),
        pytest.param([("authorization", "Bearer reporting")], id="a key's name"),
        pytest.param([("authorization", "Bearer \xe9\xff")], id="bytes beyond ASCII"),
        pytest.param([("x-api-key", "first-key")], id="another header"),
        pytest.param(
            [("authorization", "Bearer wrong"), ("authorization", "Bearer first-key")],
            id="two headers, one of them right",
        ),
    ],
)
@asynchronous
async def test_anything_else_does_not(headers: list[tuple[str, str]]) -> None:
    raw = [(name.encode(), value.encode("latin-1")) for name, value in headers]
    async with running_app(**KEYS, **ADMIN) as (_, client):
        problem(await client.post("/ner", json={"text": "10"}, headers=httpx.Headers(raw)), 401, "unauthorized")


@asynchronous
async def test_a_key_in_the_address_is_no_key() -> None:
    async with running_app(**KEYS) as (_, client):
        problem(await client.get("/v1/models?key=first-key&access_token=first-key"), 401, "unauthorized")


@asynchronous
async def test_nothing_of_a_strangers_body_is_read() -> None:
    async with running_app(**KEYS) as (app, _):
        sent: list[Any] = []

        async def receive() -> Any:
            raise AssertionError("the body was read")

        async def send(message: Any) -> None:
            sent.append(message)

        headers = [(b"content-type", b"application/json"), (b"content-length", b"1000000")]
        scope = {"type": "http", "method": "POST", "path": "/qa", "headers": headers, "query_string": b""}
        await app({**scope, "http_version": "1.1", "asgi": {"version": "3.0"}}, receive, send)
    assert sent[0]["status"] == 401


@pytest.mark.parametrize(
    ("settings", "headers", "status", "code"),
    [
        pytest.param({}, {}, 403, "admin_disabled", id="no admin key configured"),
        pytest.param(KEYS, bearer("first-key"), 403, "admin_disabled", id="no admin key configured, with a key"),
        pytest.param(KEYS, {}, 401, "unauthorized", id="no admin key configured, without a key"),
        pytest.param(ADMIN, {}, 401, "unauthorized", id="no key"),
        pytest.param(ADMIN, bearer("wrong"), 401, "unauthorized", id="a wrong key"),
        pytest.param(KEYS | ADMIN, bearer("first-key"), 403, "forbidden", id="a key that is not the admin's"),
        pytest.param(ADMIN, bearer("admin-key"), 200, None, id="the admin key"),
        pytest.param(KEYS | ADMIN, bearer("admin-key"), 200, None, id="the admin key among others"),
    ],
)
@asynchronous
async def test_administration_needs_the_admin_key(
    settings: dict[str, Any], headers: dict[str, str], status: int, code: str | None
) -> None:
    async with running_app(**settings) as (app, client):

        @app.post("/administer", dependencies=[RequireAdmin])
        async def administer() -> str:
            return "done"

        response = await client.post("/administer", headers=headers)
    if code is None:
        assert (response.status_code, response.json()) == (status, "done")
    else:
        problem(response, status, code)


@asynchronous
async def test_an_admin_key_alone_leaves_the_tasks_open() -> None:
    async with running_app(**ADMIN) as (_, client):
        assert (await client.post("/ner", json={"text": "10"})).status_code == 200


@asynchronous
async def test_each_keys_requests_are_counted_under_its_name_and_logged_with_it() -> None:
    with captured_log() as log:
        async with running_app(**KEYS, **ADMIN) as (_, client):
            await client.post("/ner", json={"text": "10"}, headers=bearer("first-key"))
            await client.post("/ner", json={}, headers=bearer("first-key"))
            await client.get("/v1/models", headers=bearer("admin-key"))
            await client.post("/qa", json={"text": "10"}, headers=bearer("mallory-was-here"))
            await client.get("/v1/models")
            await client.get("/health/live")
            metrics = (await client.get("/metrics")).text
    lines = [line for line in metrics.splitlines() if line.startswith("bigbird_key_requests_total")]
    assert sorted(lines) == [
        'bigbird_key_requests_total{key="",status="401"} 2.0',
        'bigbird_key_requests_total{key="batch",status="200"} 0.0',
        'bigbird_key_requests_total{key="reporting",status="200"} 1.0',
        'bigbird_key_requests_total{key="reporting",status="422"} 1.0',
        'bigbird_key_requests_total{key="root",status="200"} 1.0',
    ]
    assert [(line.get("key"), line["endpoint"], line["status"]) for line in log.requests] == [
        ("reporting", "/ner", 200),
        ("reporting", "/ner", 422),
        ("root", "/v1/models", 200),
        (None, "/qa", 401),
        (None, "/v1/models", 401),
    ]
    written = log.getvalue() + metrics
    assert not any(key in written for key in ("first-key", "admin-key", "mallory"))


@pytest.mark.parametrize(
    ("settings", "schemes", "needed"),
    [
        pytest.param({}, set(), None, id="open"),
        pytest.param(KEYS, {"apiKey"}, [{"apiKey": []}], id="with keys"),
    ],
)
@asynchronous
async def test_the_description_says_where_a_key_is_needed(
    settings: dict[str, Any], schemes: set[str], needed: list[Mapping[str, Any]] | None
) -> None:
    async with running_app(**settings) as (_, client):
        description = json.loads((await client.get("/openapi.json")).text)
    declared = description["components"].get("securitySchemes", {})
    assert set(declared) == schemes
    assert all((scheme["type"], scheme["scheme"]) == ("http", "bearer") for scheme in declared.values())
    # Whoever fills in the page's dialog has the line of the key file before them, too.
    assert all("The key itself" in scheme["description"] for scheme in declared.values())
    operations = {path: next(iter(methods.values())) for path, methods in description["paths"].items()}
    for path in (*TASKS, "/v1/models"):
        assert operations[path].get("security") == needed
        assert list(operations[path]["responses"]["401"]["content"]) == ["application/problem+json"]
    for path in ("/health/live", "/health/ready", "/metrics"):
        assert "security" not in operations[path] and "401" not in operations[path]["responses"]
