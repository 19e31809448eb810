import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from evaluation.connection import ModelInfo, Target, find_model
from evaluation.errors import EvaluationError


def body(name: str, task: str = "qa", **fields: Any) -> dict[str, Any]:
    facts = {"labels": [], "problem_type": None, "precision": "int8", "max_length": 4096, "source": {"name": "origin"}}
    return {"name": name, "task": task, **facts, **fields}


def find(monkeypatch: pytest.MonkeyPatch, target: Target, response: httpx.Response, task: str = "qa") -> ModelInfo:
    """Connect to a server that answers `/v1/models` like this."""
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return response

    client = httpx.AsyncClient

    def with_server(**options: Any) -> httpx.AsyncClient:
        return client(transport=httpx.MockTransport(handler), **options)

    monkeypatch.setattr(httpx, "AsyncClient", with_server)

    found = asyncio.run(find_model(target, task))
    assert [request.url.path for request in requests] == ["/v1/models"]
    expected = None if target.api_key is None else f"Bearer {target.api_key}"
    assert requests[0].headers.get("authorization") == expected
    return found


@pytest.mark.parametrize("key", [None, "secret"])
def test_the_only_model_of_the_task_is_taken(monkeypatch: pytest.MonkeyPatch, key: str | None) -> None:
    response = httpx.Response(200, json={"models": [body("a"), body("b", "ner", labels=["O", "B-X"])]})
    found = find(monkeypatch, Target("http://there:1", api_key=key), response, "ner")
    assert found == ModelInfo("b", "ner", ("O", "B-X"), None, "int8", 4096, "origin")


def test_a_model_is_taken_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    response = httpx.Response(200, json={"models": [body("a"), body("b")]})
    assert find(monkeypatch, Target("http://there:1", "b"), response).name == "b"


@pytest.mark.parametrize(
    ("models", "name", "message"),
    [
        pytest.param(
            [body("a"), body("b")],
            None,
            "several models serve qa, name one of them; models there: a (qa), b (qa)",
            id="several would do",
        ),
        pytest.param([body("a", "ner")], None, "no model for qa; models there: a (ner)", id="none is for the task"),
        pytest.param(
            [body("a", "ner")], "a", "no model 'a' for qa; models there: a (ner)", id="it is for another task"
        ),
        pytest.param([], None, "no model for qa; models there: none", id="there is none"),
    ],
)
def test_it_is_said_which_models_there_are_when(
    monkeypatch: pytest.MonkeyPatch, models: list[Any], name: str | None, message: str
) -> None:
    with pytest.raises(EvaluationError) as caught:
        find(monkeypatch, Target("http://there:1", name), httpx.Response(200, json={"models": models}))
    assert str(caught.value) == f"http://there:1: {message}"


@pytest.mark.parametrize(
    ("response", "message"),
    [
        pytest.param(
            httpx.Response(401, json={"title": "Unauthorized", "detail": "A key is needed."}),
            "401 Unauthorized: A key is needed.",
            id="a key is missing",
        ),
        pytest.param(httpx.Response(404, text="nothing here"), "404 nothing here", id="it is another kind of server"),
        pytest.param(
            httpx.Response(200, json={"models": ["a"]}),
            "/v1/models does not answer as bigbird-serve does",
            id="it answers something else",
        ),
    ],
)
def test_one_line_says_what_is_wrong_with_a_server_when(
    monkeypatch: pytest.MonkeyPatch, response: httpx.Response, message: str
) -> None:
    with pytest.raises(EvaluationError) as caught:
        find(monkeypatch, Target("http://there:1"), response)
    assert str(caught.value) == f"http://there:1: {message}"


@pytest.mark.parametrize(
    ("place", "message"),
    [
        pytest.param("http://127.0.0.1:1", "http://127.0.0.1:1: no answer: ", id="nobody listens"),
        pytest.param("http://[", "http://[: ", id="it is not a URL"),
    ],
)
def test_a_server_that_cannot_be_reached_is_named_when(place: str, message: str) -> None:
    with pytest.raises(EvaluationError) as caught:
        asyncio.run(find_model(Target(place), "qa"))
    assert str(caught.value).startswith(message)


def test_a_folder_that_is_no_bundle_is_named(tmp_path: Path) -> None:
    with pytest.raises(EvaluationError, match=r"manifest\.json: missing"):
        asyncio.run(find_model(Target(str(tmp_path)), "qa"))
