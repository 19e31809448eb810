"""A service that tests play: classification models that answer by rule, behind `http://played`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

LABELS = ["no", "yes"]
# A label, a number, or another response.
Rule = Callable[[str], str | float | httpx.Response]


def _model(name: str, labels: list[str], problem_type: str | None) -> dict[str, Any]:
    return {
        "name": name,
        "task": "classify",
        "labels": labels,
        "problem_type": problem_type,
        "precision": "fp32",
        "max_length": 4096,
        "source": {"name": "origin"},
    }


def play(
    monkeypatch: pytest.MonkeyPatch,
    rules: Mapping[str, Rule],
    labels: Mapping[str, list[str]] | None = None,
    problem_type: str | None = None,
) -> list[httpx.Request]:
    """Let `http://played` answer by each model's rule; a blank text is refused, each word is a token.

    Returns:
        The requests, as they come.
    """
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.path == "/v1/models":
            models = [_model(name, (labels or {}).get(name, LABELS), problem_type) for name in rules]
            return httpx.Response(200, json={"models": models})
        body = json.loads(request.content)
        if not body["text"].strip():
            return httpx.Response(422, json={"title": "Invalid input", "detail": "text has no visible characters"})
        said = rules[body["model"]](body["text"])
        if isinstance(said, httpx.Response):
            return said
        field = "label" if isinstance(said, str) else "score"
        return httpx.Response(200, json={field: said, "usage": {"tokens": len(body["text"].split())}})

    client = httpx.AsyncClient

    def played(**options: Any) -> httpx.AsyncClient:
        return client(transport=httpx.MockTransport(handler), **options)

    monkeypatch.setattr(httpx, "AsyncClient", played)
    return requests
