"""The application around fake models, warmed, with an in-process client."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, get_args

import httpx
from fastapi import FastAPI

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TaskName
from service.app import create_app
from service.settings import Settings
from tests.fake_model import fake_loaded_model


async def requests_made_of(path: str, body: Mapping[str, Any]) -> list[Any]:
    """Return what the tasks of fake models are asked by a body."""
    seen: list[Any] = []
    models = fake_models()
    for model in models.values():
        encode = model.task.encode
        model.task.encode = lambda request, encode=encode: seen.append(request) or encode(request)  # type: ignore
    async with running_app(models) as (_, client):
        response = await client.post(path, json=body)
    assert response.status_code == 200, response.text
    return sorted(seen, key=repr)


def fake_models() -> dict[str, LoadedModel]:
    """One model for each task."""
    models = [fake_loaded_model(task) for task in get_args(TaskName)]
    return {model.name: model for model in models}


@asynccontextmanager
async def running_app(
    models: Mapping[str, LoadedModel] | None = None, **settings: Any
) -> AsyncIterator[tuple[FastAPI, httpx.AsyncClient]]:
    # Measuring batch sizes of models that take no time would only take time.
    app = create_app(Settings(**{"warm_up_seconds": 0, **settings}), fake_models() if models is None else models)
    async with app.router.lifespan_context(app):
        await app.state.serving.warmed()
        transport = httpx.ASGITransport(app, raise_app_exceptions=True)
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            yield app, client
