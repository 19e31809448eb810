"""A service that tests play: classification models that answer by rule, behind `http://played`."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import httpx
import pytest

LABELS = ["no", "yes"]
Rule = Callable[[str], str]


def _model(name: str, labels: list[str]) -> dict[str, Any]:
    return {
        "name": name,
        "task": "classify",
        "labels": labels,
        "problem_type": None,
        "precision": "fp32",
        "max_length": 4096,
        "source": {"name": "origin"},
    }


def play(
    monkeypatch: pytest.MonkeyPatch, rules: Mapping[str, Rule], labels: Mapping[str, list[str]] | None = None
) -> list[httpx.Request]:
    """Let `http://played` answer by each model's rule; a blank text is refused, each word is a token.

    Returns:
        The requests, as they come.
    """
    requests: list[httpx.Request] = []

    def handler(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        if request.url.path == "/v1/models":
            models = [_model(name, (labels or {}).get(name, LABELS)) for name in rules]
            return httpx.Response(200, json={"models": models})
        body = json.loads(request.content)
        if not body["text"].strip():
            return httpx.Response(422, json={"title": "Invalid input", "detail": "text has no visible characters"})
        label = rules[body["model"]](body["text"])
        return httpx.Response(200, json={"label": label, "usage": {"tokens": len(body["text"].split())}})

    client = httpx.AsyncClient

    def played(**options: Any) -> httpx.AsyncClient:
        return client(transport=httpx.MockTransport(handler), **options)

    monkeypatch.setattr(httpx, "AsyncClient", played)
    return requests
