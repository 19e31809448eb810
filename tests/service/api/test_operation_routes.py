import re
from typing import get_args
from urllib.parse import urljoin

import httpx
import pytest

from bigbird_inference.manifest import TaskName
from tests.fake_model import REVISION
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app


@asynchronous
async def test_models_are_listed_by_name_with_what_they_are() -> None:
    async with running_app() as (_, client):
        models = (await client.get("/v1/models")).json()["models"]
    assert [model["name"] for model in models] == sorted(f"fake-{task}" for task in get_args(TaskName))
    assert {model["name"]: model for model in models}["fake-ner"] == {
        "name": "fake-ner",
        "version": 1,
        "revision": REVISION,
        "task": "ner",
        "endpoint": "/ner",
        "labels": ["O", "B-PER"],
        "problem_type": None,
        "max_length": 16,
        "block_size": 8,
        "pattern": "transformers",
        "precision": "fp32",
        "runtime": "onnxruntime",
        "computes_in": "fp32",
        "gpu_features": [],
        "pair_types": "segments",
        "buckets": [
            {"length": 8, "attention": "full", "max_abs_difference": 0.0},
            {"length": 16, "attention": "full", "max_abs_difference": 0.0},
        ],
        "source": {"name": "checkpoint", "kind": "safetensors", "sha256": "0" * 64, "note": None},
        "versions": {"torch": "2.13.0"},
    }


@asynchronous
async def test_the_documentation_describes_every_task_its_fields_and_its_problems() -> None:
    async with running_app() as (_, client):
        page = await client.get("/docs")
        description = (await client.get("/openapi.json")).json()
    assert page.headers["content-type"].startswith("text/html")
    tasks = {f"/{task}" for task in get_args(TaskName)}
    changes = {f"/v1/models/{{name}}/{change}" for change in ("load", "reload", "unload")}
    models = {"/v1/models", "/v1/models/{name}", *changes}
    dialects = {
        *("/models/{name}", "/v1/embeddings", "/v1/rerank", "/v2/rerank"),
        *("/v2", "/v2/health/live", "/v2/health/ready"),
        *(
            f"/v2/models/{{name}}{version}{what}"
            for version in ("", "/versions/{version}")
            for what in ("", "/ready", "/infer")
        ),
        *("/predict", "/rerank", "/similarity", "/tokenize", "/decode", "/info"),
    }
    assert tasks | models | dialects | {"/health/live", "/health/ready", "/metrics"} == set(description["paths"])
    schemas = description["components"]["schemas"]
    for path in tasks:
        route = description["paths"][path]["post"]
        assert {"200", "400", "404", "413", "415", "422", "429", "500", "503", "504"} <= set(route["responses"])
        for status, response in route["responses"].items():
            if status != "200":
                assert list(response["content"]) == ["application/problem+json"]
        schema = route["requestBody"]["content"]["application/json"]["schema"]
        body = schema.get("oneOf", [schema])[0]["$ref"].rsplit("/", 1)[1]
        assert all("description" in field for field in schemas[body]["properties"].values())
    assert {"type", "title", "status", "detail", "code", "request_id"} <= set(schemas["ProblemBody"]["required"])


@pytest.mark.parametrize(
    "accept",
    [
        pytest.param("application/openmetrics-text; version=x", id="a version that is not a number"),
        pytest.param("application/openmetrics-text; version=1.0.0.a", id="half a number"),
        pytest.param("text/plain; version=999; q=z", id="a version of the future"),
        pytest.param(f"application/openmetrics-text; version={'9' * 5000}", id="five thousand digits"),
    ],
)
@asynchronous
async def test_a_version_of_a_format_that_there_is_not_gives_the_oldest_format(accept: str) -> None:
    async with running_app() as (_, client):
        response = await client.get("/metrics", headers={"accept": accept})
    assert response.status_code == 200
    assert response.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"


@asynchronous
async def test_metrics_are_read_in_either_text_format() -> None:
    async with running_app() as (_, client):
        plain = await client.get("/metrics")
        open_metrics = await client.get("/metrics", headers={"accept": "application/openmetrics-text"})
    assert plain.headers["content-type"].startswith("text/plain")
    assert "bigbird_ready 1.0" in plain.text
    assert open_metrics.headers["content-type"].startswith("application/openmetrics-text")
    assert open_metrics.text.endswith("# EOF\n")


@asynchronous
async def test_the_docs_page_loads_everything_from_this_server() -> None:
    async with running_app() as (_, client):
        page = (await client.get("/docs")).text
        found = addresses(page)
        assert len(found) >= 3
        assert "//" not in "".join(found)
        for address in found:
            assert (await client.get(urljoin("/docs", address))).status_code == 200
        assert (await client.get("/docs/assets/nothing.js")).headers["content-type"] == "application/problem+json"


def addresses(page: str) -> list[str]:
    return re.findall(r'(?:src|href)="([^"#]+)"', page)


@asynchronous
async def test_the_pages_work_behind_a_prefix_that_a_proxy_takes_off() -> None:
    """As a browser does it: every address is resolved against the one it was found at."""
    prefix = "http://server/bigbird/"

    async with running_app() as (_, client):

        async def get(address: str) -> httpx.Response:
            assert address.startswith(prefix)
            return await client.get(address.removeprefix(prefix.rstrip("/")))

        start = (await get(prefix)).text
        assert [(await get(urljoin(prefix, file))).status_code for file in addresses(start) if file != "./"] == [
            200
        ] * 5
        docs = urljoin(prefix, "docs")
        page = (await get(docs)).text
        assert [(await get(urljoin(docs, file))).status_code for file in addresses(page)] == [200] * 3
        (described,) = re.findall(r"url: '([^']+)'", page)
        description = urljoin(docs, described)
        (server,) = (await get(description)).json()["servers"]
        assert urljoin(description, server["url"]) == prefix


@asynchronous
async def test_readiness_tells_which_devices_serve() -> None:
    async with running_app() as (_, client):
        ready = await client.get("/health/ready")
    assert ready.json() == {
        "status": "ready",
        "degraded": None,
        "devices": [{"name": "cpu", "alive": True, "stuck": False}],
    }


@pytest.mark.parametrize("range_header", ["bytes=0-4", "bytes=a-b,,", "bytes=" + "0-," * 5000, "lines=1"])
@asynchronous
async def test_a_file_of_the_docs_is_sent_whole_whatever_range_is_asked_for(range_header: str) -> None:
    async with running_app() as (_, client):
        whole = await client.get("/docs/assets/swagger-ui.css")
        asked = await client.get("/docs/assets/swagger-ui.css", headers={"range": range_header})
    assert asked.status_code == 200
    assert asked.content == whole.content


@pytest.mark.parametrize("path", ["/health/live", "/health/ready", "/metrics"])
@asynchronous
async def test_head_is_answered_as_get_is(path: str) -> None:
    async with running_app() as (_, client):
        answer = await client.head(path)
        assert answer.status_code == 200
        assert answer.headers["content-type"] == (await client.get(path)).headers["content-type"]
