"""Running the application as a process: a clear start-up failure, a drain on SIGTERM, an honest exit status."""

import logging
import math
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.errors import BundleError
from service.loading import LoadedModel, load_models
from service.serving import Serving
from service.settings import InvalidSettings, Settings

# Beyond the drain timeout every request has been answered with an error; this is the time to send that.
_SENDING_SECONDS = 5


class DrainingServer(uvicorn.Server):
    """A server that refuses new requests the moment it is asked to stop, and then exits with status 0.

    Args:
        config: uvicorn's configuration.
        app: The application.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the process without waiting."""
        # uvicorn would remember the signal and raise it again after a clean shutdown, which ends the process with the
        # signal's status. A drained server has done what it was asked to do.
        if self.should_exit:
            self.force_exit = True
        self.should_exit = True
        serving: Serving | None = getattr(self._app.state, "serving", None)
        if serving is not None:
            serving.begin_drain_from_signal()


def serve(settings: Settings, load: Callable[[Settings], Mapping[str, LoadedModel]] = load_models) -> int:
    """Load the models, serve until SIGTERM or SIGINT, drain.

    Args:
        settings: The service's settings.
        load: Loads the models.

    Returns:
        The exit status: 0 after a drain, 1 if a bundle, a setting or the warm-up stopped it. A port that is taken ends
        the process with 3, from uvicorn.
    """
    logging.basicConfig(
        level=settings.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s", stream=sys.stderr
    )
    # Until uvicorn's own handler is there, nothing has been accepted that would need an answer.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    try:
        models = load(settings)
    except (BundleError, InvalidSettings) as error:
        print(f"bigbird serve: {error}", file=sys.stderr)
        return 1
    failed = False

    def stop_with_failure() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    app = create_app(settings, models, on_failure=stop_with_failure)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=math.ceil(settings.drain_timeout_seconds) + _SENDING_SECONDS,
    )
    server = DrainingServer(config, app)
    server.run()
    return 1 if failed or not server.started else 0
