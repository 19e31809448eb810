"""Running the application as a process: a clear start-up failure, a drain on SIGTERM, an honest exit status."""

import logging
import signal
import sys
from collections.abc import Callable, Mapping
from types import FrameType

import uvicorn
from fastapi import FastAPI

from service.app import create_app
from service.drain import Drain
from service.errors import BundleError
from service.loading import LoadedModel, load_models
from service.serving import Serving
from service.settings import InvalidSettings, Settings
from service.telemetry.log_formats import log_handler

logger = logging.getLogger(__name__)

# Beyond the drain timeout every request has been answered with an error; this is the time to send that.
_SENDING_SECONDS = 5


class DrainingServer(uvicorn.Server):
    """A server that refuses new requests the moment it is asked to stop, and then exits with status 0.

    Args:
        config: uvicorn's configuration.
        app: The application.
        drain: Says when everything that was accepted is answered.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, drain: Drain) -> None:
        super().__init__(config)
        self._app = app
        self._drain = drain
        self._told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to drain; a second signal ends the process without waiting."""
        # uvicorn would remember the signal and raise it again after a clean shutdown, which ends the process with the
        # signal's status. A drained server has done what it was asked to do.
        serving: Serving | None = getattr(self._app.state, "serving", None)
        if self._told_to_stop or serving is None:
            self.force_exit = self._told_to_stop
            self.should_exit = True
        else:
            serving.begin_drain_from_signal()
        self._told_to_stop = True

    async def on_tick(self, counter: int) -> bool:
        """Listen until the drain is over: what comes in the meantime is refused, not lost."""
        if self._told_to_stop:
            # A signal during start-up found no event loop yet to tell.
            self._app.state.serving.begin_drain()
        if self._drain.is_over():
            self.should_exit = True
        return await super().on_tick(counter)


def _is_draining(app: FastAPI) -> bool:
    serving: Serving | None = getattr(app.state, "serving", None)
    return serving is not None and serving.draining


def serve(settings: Settings, load: Callable[[Settings], Mapping[str, LoadedModel]] = load_models) -> int:
    """Load the models, serve until SIGTERM or SIGINT, drain.

    Args:
        settings: The service's settings.
        load: Loads the models.

    Returns:
        The exit status: 0 after a drain, 1 if a bundle, a setting or the warm-up stopped it. A port that is taken ends
        the process with 3, from uvicorn.
    """
    logging.basicConfig(level=settings.log_level.upper(), handlers=[log_handler(sys.stderr, settings.log_format)])
    logging.captureWarnings(True)
    # Until uvicorn's own handler is there, nothing has been accepted that would need an answer.
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
    failed = False

    def stop_with_failure() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    try:
        app = create_app(settings, load(settings), on_failure=stop_with_failure)
    except (BundleError, InvalidSettings) as error:
        logger.critical("%s", error)
        return 1
    drain = Drain(app, lambda: _is_draining(app), settings.drain_timeout_seconds)
    config = uvicorn.Config(
        drain,
        host=settings.host,
        port=settings.port,
        lifespan="on",
        log_config=None,
        access_log=False,
        # There are no web sockets here, and uvicorn would log the paths and queries of those that are tried.
        ws="none",
        server_header=False,
        timeout_graceful_shutdown=_SENDING_SECONDS,
    )
    server = DrainingServer(config, app, drain)
    server.run()
    return 1 if failed or not server.started else 0
