"""Running the application as a process: a clear failure at start, bounded connections, a drain, an honest status."""

import gc
import logging
import os
import resource
import socket
from collections.abc import Callable, Mapping

import uvicorn
from fastapi import FastAPI

from bigbird_inference.errors import BundleError
from bigbird_inference.loaded_model import LoadedModel
from service.app import create_app
from service.models.loading import ModelLoader
from service.process.connections import ConnectionLimits, limit_connections
from service.process.in_flight_requests import InFlightRequests
from service.process.listening import CannotListen, bind
from service.process.room import MOST_BESIDE_LIMIT
from service.process.standard_error import start_log
from service.process.stop_signals import DrainingServer, end_process, exit_on_signal
from service.security.access import read_access, tell_exposure
from service.serving import Serving
from service.settings import InvalidSettings, Settings, unknown_variables
from service.shutdown import Shutdown

logger = logging.getLogger(__name__)

# Beyond the drain timeout every request has been answered with an error; this is the time to send that.
_SENDING_SECONDS = 5
# Bundles, sockets of its own, and what a reload opens: some 20, and as many for each GPU.
_OWN_FILES = 64
# Connections that the system has opened and the server has not taken yet; it may take them all at once.
_BACKLOG = 2048
_PORT_TAKEN = 3
# Objects that were made and not freed again, after which Python looks for those that hold each other. Each request
# under way has hundreds, which 700, Python's own number, has walked over and over.
_GARBAGE_OBJECTS = 5_000


def _fit_open_files(connections: int) -> tuple[int, int]:
    """Raise the limit of open files to what connections need (the usual 1,024 is less); return what it allows.

    Without a file for it a connection is reset, whoever asks for what.

    Returns:
        Most connections, and most of those that are not taken yet.
    """
    beside = _OWN_FILES + MOST_BESIDE_LIMIT
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = beside + connections + _BACKLOG
    if hard != resource.RLIM_INFINITY:
        needed = min(needed, hard)
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    free = max(needed - beside, 2)
    fitting = min(connections, max(free * 3 // 4, free - _BACKLOG))
    if fitting < connections:
        message = "the limit of open files is %d, so there are at most %d connections, not %d; raise it (ulimit -Hn)"
        logger.warning(message, hard, fitting, connections)
    return fitting, min(_BACKLOG, free - fitting)


def _collect_less_garbage() -> None:
    """Leave out of every search for garbage what was imported, which never becomes any, and search less often.

    A search of everything stops the event loop for a tenth of a second. Nothing that a model is made of may be there
    yet: what is left out is never found, and a model is released when another takes its place.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_OBJECTS)


def _connection_limits(settings: Settings, max_connections: int) -> ConnectionLimits:
    return ConnectionLimits(
        max_connections=max_connections,
        max_header_bytes=settings.max_header_bytes,
        header_seconds=settings.header_timeout_seconds,
        write_seconds=settings.write_timeout_seconds,
    )


def serve(settings: Settings, load: Callable[[Settings], Mapping[str, LoadedModel]] | None = None) -> int:
    """Load the models, serve until SIGTERM or SIGINT, drain.

    Args:
        settings: The service's settings.
        load: Loads the models; None to load the bundles of the settings' folder.

    Returns:
        The exit status: 0 after a drain, 1 if a bundle, a setting or the warm-up stopped it, 3 if the port is taken. A
        second signal ends the process with 1.
    """
    log = start_log(settings.log_level, settings.log_format)
    for line in unknown_variables(os.environ):
        logger.warning("%s", line)
    exit_on_signal()
    _collect_less_garbage()
    failed = False

    def stop_with_failure() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    try:
        # Before the models, which take long.
        sockets = bind(settings.hosts, settings.port)
        tell_exposure(settings.hosts, read_access(settings))
        loader = ModelLoader(settings)
        # No name here holds the models: one that is exchanged later is to be released.
        app = create_app(
            settings, load(settings) if load else loader.load_all(), stop_with_failure, loader, loader.failures
        )
    except CannotListen as error:
        logger.critical("%s; choose another with --port or --host", error)
        return _PORT_TAKEN
    except (BundleError, InvalidSettings) as error:
        logger.critical("%s (`bigbird doctor` tells what this machine can serve)", error)
        return 1
    app.state.metrics.watch_log(lambda: log.dropped)
    max_connections, backlog = _fit_open_files(settings.max_connections)
    in_flight = InFlightRequests(app, lambda: _shutdown_of(app), settings.drain_timeout_seconds)
    config = uvicorn.Config(
        in_flight,
        lifespan="on",
        log_config=None,
        access_log=False,
        # There are no web sockets here, and uvicorn would log the paths and queries of those that are tried.
        ws="none",
        http=limit_connections(_connection_limits(settings, max_connections), app.state.metrics.connections),
        backlog=backlog,
        timeout_keep_alive=settings.keep_alive_seconds,
        server_header=False,
        timeout_graceful_shutdown=_SENDING_SECONDS,
    )
    app.state.addresses = [_address(opened) for opened in sockets]
    logging.getLogger("uvicorn.error").addFilter(_not_before_it_is_ready)
    server = DrainingServer(config, app, in_flight)
    try:
        server.run(sockets)
    except OSError as error:
        if server.started:
            raise
        # Another server began to listen in the meantime.
        logger.critical("cannot listen on port %d: %s", settings.port, error.strerror)
        _leave_if_a_run_goes_on(app, _PORT_TAKEN)
        return _PORT_TAKEN
    status = 1 if failed or not server.started else 0
    _leave_if_a_run_goes_on(app, status)
    return status


def _address(opened: socket.socket) -> str:
    host, port = opened.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _shutdown_of(app: FastAPI) -> Shutdown | None:
    """Return what stops an application; None before it has started."""
    serving: Serving | None = getattr(app.state, "serving", None)
    return None if serving is None else serving.shutdown


def _not_before_it_is_ready(record: logging.LogRecord) -> bool:
    """Leave out uvicorn's line that it runs: models are being warmed then, and the line when they are says where."""
    return not str(record.msg).startswith("Uvicorn running")


def _leave_if_a_run_goes_on(app: FastAPI, status: int) -> None:
    """End the process now if a device still runs something: a warm-up that was cut short, or a run that hangs.

    Python would take onnxruntime down under that run, which aborts the process with a status of its own.
    """
    serving: Serving | None = getattr(app.state, "serving", None)
    if serving is not None and any(device.alive for device in serving.scheduler.devices):
        end_process(status)
