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
