"""Which headers a JSON body may have."""

import gzip
import json
import zlib
from typing import Any

import pytest
from fastapi import APIRouter, Request, Response

from bigbird_inference.errors import MalformedRequest, TextTooLarge
from service.api.authentication import RequireAdmin, RequireKey
from service.api.json_body import JsonRoute, parse_json
from service.api.request_state import ServingDependency
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
    assert "1768 values" in problem(response, 413, "too_large")["detail"]


@asynchronous
async def test_a_field_that_is_named_twice_is_malformed() -> None:
    async with running_app() as (_, client):
        response = await client.post("/ner", content=b'{"text": "a", "text": "b"}', headers=JSON)
    problem(response, 400, "malformed_request")


@pytest.mark.parametrize(
    ("body", "value"),
    [
        pytest.param(b'{"a": [1, "b", null]}', {"a": [1, "b", None]}, id="an object"),
        pytest.param(b"\xef\xbb\xbf[]", [], id="a byte order mark"),
        pytest.param(b'"\\ud83d\\ude00"', "\U0001f600", id="a surrogate pair"),
        pytest.param(b"1e999", float("inf"), id="a number beyond all numbers"),
        pytest.param(b"2.5", 2.5, id="a fraction"),
    ],
)
def test_json_is_what_it_says(body: bytes, value: object) -> None:
    assert parse_json(body, 10) == value


@pytest.mark.parametrize("text", [b"7.0", b"70e-1", b"0.7e1", b"7"])
def test_a_number_without_a_fraction_is_an_integer_however_it_is_written(text: bytes) -> None:
    value = parse_json(text, 10)
    assert value == 7
    assert isinstance(value, int)


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"text": "a", "text": "b"}', id="with different values"),
        pytest.param(b'{"text": "a", "text": "a"}', id="with the same value"),
        pytest.param(b'{"a": [{"b": 1, "b": 2}]}', id="deep inside"),
        pytest.param(rb'{"text": 1, "\u0074ext": 2}', id="in two spellings"),
    ],
)
def test_a_field_that_is_named_twice_is_refused(body: bytes) -> None:
    with pytest.raises(MalformedRequest, match="twice"):
        parse_json(body, 10)


def test_different_objects_may_have_the_same_fields() -> None:
    assert parse_json(b'[{"a": 1}, {"a": 2}]', 10) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"[1,2,3,4,5,6]", id="items"),
        pytest.param(b"[[[[[[]]]]]]", id="lists"),
        pytest.param(b"[{},{},{}]", id="objects"),
        pytest.param(b'{"a":1,"b":1,"c":1,"d":1,"e":1,"f":1}', id="fields"),
        pytest.param(b'["","","","","",""]', id="empty texts"),
        pytest.param(rb'["\\",1,2,3,4,5,6]', id="behind a text that ends with a backslash"),
    ],
)
def test_more_values_than_are_allowed_are_too_large(body: bytes) -> None:
    with pytest.raises(TextTooLarge, match="more than 5 values"):
        parse_json(body, 5)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("a, b, c, [d], {e}, f, g", id="punctuation"),
        pytest.param('"a", "b", "c", "d", "e", "f"', id="quotation"),
        pytest.param("\\,\\\\,\\\"',,,,\\", id="backslashes"),
    ],
)
def test_what_a_text_holds_does_not_count(text: str) -> None:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    assert parse_json(f'{{"text": "{escaped}"}}'.encode(), 5) == {"text": text}


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b'{"text": [' + b"0," * 8_000_000 + b"0]}", id="eight million zeros"),
        pytest.param(b"[" + b"[]," * 5_000_000 + b"[]]", id="five million lists"),
        pytest.param(b"[" * 16_000_000, id="sixteen million brackets"),
    ],
)
def test_the_largest_body_of_the_smallest_values_is_refused_before_it_is_parsed(
    body: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    parsed: list[object] = []
    monkeypatch.setattr(json, "loads", lambda *arguments, **options: parsed.append(arguments))
    with pytest.raises(TextTooLarge):
        parse_json(body, 1512)
    assert parsed == []


def test_a_route_with_a_body_is_refused_what_its_function_would_not_be_given() -> None:
    router = APIRouter(route_class=JsonRoute)

    async def named(request: Request, body: dict[str, Any], serving: ServingDependency, name: str) -> Response:
        raise NotImplementedError

    async def plain(request: Request, body: dict[str, Any], serving: ServingDependency) -> Response:
        raise NotImplementedError

    with pytest.raises(TypeError, match="named declares a body"):
        router.post("/named")(named)
    with pytest.raises(TypeError, match="plain declares a body, so it cannot ask for more than a key"):
        router.post("/plain", dependencies=[RequireAdmin])(plain)
    router.post("/plain", dependencies=[RequireKey])(plain)
