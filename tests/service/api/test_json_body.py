"""Which headers a JSON body may have."""

import gzip
import json
import zlib

import pytest

from tests.service.api.test_problems import JSON, problem
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

GOOD = b'{"text": "a b"}'


@pytest.mark.parametrize(
    ("coding", "body"),
    [
        pytest.param("gzip", gzip.compress(GOOD), id="gzip"),
        pytest.param("deflate", zlib.compress(GOOD), id="deflate"),
        pytest.param("br", b"\x8b\x07\x80" + GOOD + b"\x03", id="brotli"),
        pytest.param("zstd", b"\x28\xb5\x2f\xfd", id="zstandard"),
        pytest.param("gzip", GOOD, id="gzip that is none"),
        pytest.param("identity, gzip", gzip.compress(GOOD), id="behind one that is none"),
    ],
)
@asynchronous
async def test_a_compressed_body_is_refused_with_what_would_be_accepted(coding: str, body: bytes) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=body, headers={**JSON, "content-encoding": coding})
    problem(response, 415, "unsupported_media_type")
    assert response.headers["accept-encoding"] == "identity"


@asynchronous
async def test_a_body_that_says_it_is_not_compressed_is_accepted() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=GOOD, headers={**JSON, "content-encoding": "identity"})
    assert response.status_code == 200


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("application/json" + ";" * 20_000, id="twenty thousand semicolons"),
        pytest.param("application/json; charset*=utf-16''x; charset=utf-16", id="two charsets"),
        pytest.param("application/json; charset=", id="no charset"),
        pytest.param("application/json, text/plain", id="two types in one header"),
    ],
)
@asynchronous
async def test_a_content_type_that_is_hard_to_read_is_refused(value: str) -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=GOOD, headers={"content-type": value})
    problem(response, 415, "unsupported_media_type")


@asynchronous
async def test_two_content_types_are_refused() -> None:
    headers = [("content-type", "application/json"), ("content-type", "application/json")]
    async with running_app() as (_, client):
        response = await client.post("/ner", content=GOOD, headers=headers)
    problem(response, 415, "unsupported_media_type")


@asynchronous
async def test_an_integer_may_be_written_with_a_point() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=b'{"text": "a b", "timeout_ms": 60000.0}', headers=JSON)
    assert response.status_code == 200


@asynchronous
async def test_a_list_of_a_million_wrong_items_is_refused_before_each_is_looked_at() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=json.dumps({"text": [0] * 1_000_000}).encode(), headers=JSON)
    assert "1512 values" in problem(response, 413, "too_large")["detail"]


@asynchronous
async def test_a_field_that_is_named_twice_is_malformed() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=b'{"text": "a", "text": "b"}', headers=JSON)
    problem(response, 400, "malformed_request")
