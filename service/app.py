"""The application: everything wired together.

`uvicorn --factory service.app:create_app` serves it with the settings of the environment; `service.process.server` does
the same with a clean start-up, shutdown and exit status.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from fastapi import FastAPI
from prometheus_client import CollectorRegistry, ProcessCollector, disable_created_metrics

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.version import service_version
from service.api import model_routes, operation_routes
from service.api.early_refusals import refuse_early
from service.api.openapi import DescribedApplication, install_docs_page
from service.api.playground import docs_instead, playground_routes
from service.api.problems import install_problem_handlers
from service.api.task_routes import task_routes
from service.dialects import huggingface_routes, open_inference, openai, rerank
from service.dialects import text_embeddings_inference as tei
from service.models.loading import ModelLoader
from service.security.access import read_access
from service.security.key_watch import KeyWatch
from service.serving import Serving
from service.settings import Settings, load_settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import create_tracing

_DESCRIPTION = """
BigBird for long documents: question answering, classification, entities, embeddings, multiple choice, and what its
language models predict. `/v1/models` tells which of these the loaded models serve.

Positions count Unicode code points, or what `offsets` says: `text[start:end]` is exactly what is returned. Documents
longer than the model are read in overlapping windows where the task allows it, and refused where it does not; nothing
is cut off. Errors are `application/problem+json`.
"""


def create_app(
    settings: Settings | None = None,
    models: Mapping[str, LoadedModel] | None = None,
    on_failure: Callable[[], None] = lambda: None,
    loader: ModelLoader | None = None,
    failures: Mapping[str, str] | None = None,
) -> FastAPI:
    """Build the application; work begins when its lifespan does.

    Args:
        settings: The settings, or None to read the environment.
        models: Loaded models, which are handed over: one that is unloaded later is released. None to load those of the
            settings at start-up.
        on_failure: Called if the models cannot be warmed.
        loader: What the models were loaded with, and loads others later.
        failures: Why models that should be served were not loaded, by name.

    Raises:
        InvalidSettings: The environment holds an invalid setting, keys cannot be read, or tracing is on without its
            packages.
    """
    settings = settings or load_settings()
    access = read_access(settings)
    tracing = create_tracing(settings)
    # A time of creation beside every counter would be a third of all series, and nothing here reads it.
    disable_created_metrics()  # type: ignore[no-untyped-call]
    metrics = Metrics(CollectorRegistry(), on_batch=tracing.batch_finished)
    ProcessCollector(registry=metrics.registry)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        nonlocal models, loader, failures
        if models is None:
            loader = loader or ModelLoader(settings)
            models, failures = await asyncio.to_thread(loader.load_all), loader.failures
        tracing.start()
        serving = Serving(
            settings,
            models,
            metrics,
            on_failure,
            source=loader,
            addresses=app.state.addresses,
            failures=failures,
        )
        models = None
        app.state.serving = serving
        await serving.start()
        watching = asyncio.create_task(KeyWatch(settings, access, metrics.declare_keys).run(), name="key watch")
        try:
            yield
        finally:
            watching.cancel()
            await serving.stop()
            await asyncio.to_thread(tracing.close)

    app = DescribedApplication(
        title="bigbird-serve",
        version=service_version(),
        description=_DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Clients are generated from these: `answer_question`, not a path.
        generate_unique_id_function=lambda route: route.name,
        # FastAPI would tell the same again, and with it the message of an exception, which may quote a text.
        telemetry={
            "tracing": False,
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "auto_configure": False,
        },
    )
    # A path is compared with one route after the other: those that models are asked on come first.
    for router in (task_routes(), open_inference.inference, huggingface_routes.router):
        app.include_router(router)
    for router in (openai.router, rerank.router, tei.router):
        app.include_router(router)
    for router in (tei.information, open_inference.health, open_inference.router):
        app.include_router(router)
    app.include_router(model_routes.router)
    app.include_router(operation_routes.router)
    install_docs_page(app)
    app.include_router(playground_routes() if settings.playground else docs_instead())
    install_problem_handlers(app)
    app.state.access = access
    app.state.addresses = []
    app.state.metrics = metrics
    app.state.settings = settings
    refuse_early(app, settings, access, metrics, tracing)
    metrics.declare_keys(key.name for key in access.keys)
    return app
