"""A bundle served inside this process: the application itself, reached without a socket.

Everything between a request's JSON and its answer's is what `bigbird serve` runs, so what is measured is what is
served. Settings come from the `BIGBIRD_*` environment variables as they do there, except for keys: nobody else can
reach it.
"""

import asyncio
import threading
from collections.abc import AsyncIterator, Set
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from bigbird_inference.errors import BundleError
from evaluation.errors import EvaluationError
from service.app import create_app
from service.serving import Serving
from service.settings import InvalidSettings, load_settings

_NO_KEYS = {"api_keys_file": None, "api_keys": None, "admin_key_file": None, "admin_key": None}
# A batch that nobody waits for any more ends some time; a stuck one does not.
_LAST_RUN_SECONDS = 60


@asynccontextmanager
async def serve_bundle(bundle: Path) -> AsyncIterator[httpx.AsyncClient]:
    """Load and warm a bundle, and yield a client of it.

    Raises:
        EvaluationError: The bundle or a setting cannot be used, or a bucket cannot be run.
    """
    threads_before = set(threading.enumerate())
    try:
        # How long batches take need not be known beforehand: nobody's deadline depends on it.
        settings = load_settings(models=bundle, warm_up_seconds=0).model_copy(update=_NO_KEYS)
        app = create_app(settings)
        async with app.router.lifespan_context(app):
            serving: Serving = app.state.serving
            await serving.warmed()
            if not serving.ready:
                raise EvaluationError(f"{bundle}: the bundle could not be warmed; the messages before this say why")
            transport = httpx.ASGITransport(app, raise_app_exceptions=False)
            async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
                yield client
    except (BundleError, InvalidSettings) as error:
        raise EvaluationError(str(error)) from error
    finally:
        await asyncio.to_thread(_wait_for_last_run, threads_before)


def _wait_for_last_run(threads_before: Set[threading.Thread]) -> None:
    """Wait for the executor's thread: a process that ends while onnxruntime works is aborted."""
    for thread in threading.enumerate():
        if thread not in threads_before and thread.daemon:
            thread.join(_LAST_RUN_SECONDS)
