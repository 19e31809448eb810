"""What SIGTERM and SIGINT do: the first begins to leave and drain, the second ends the process at once.

How long a server that leaves still accepts requests, and what a drain refuses, is decided in `service/shutdown.py`;
which requests it still has to answer, in `in_flight_requests.py`.
"""

import logging
import os
import signal
import socket
import sys
from types import FrameType
from typing import NoReturn

import uvicorn
from fastapi import FastAPI

from service.process.in_flight_requests import InFlightRequests
from service.serving import Serving

logger = logging.getLogger(__name__)

_STOPPED_AT_ONCE = 1


def exit_on_signal() -> None:
    """End with status 0 at SIGTERM, until uvicorn's own handler is there: nothing has been accepted before."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))


class DrainingServer(uvicorn.Server):
    """A server that drains when it is asked to stop, after the drain delay, and then exits with status 0.

    Args:
        config: uvicorn's configuration.
        app: The application.
        in_flight: Says when everything that was accepted is answered.
    """

    def __init__(self, config: uvicorn.Config, app: FastAPI, in_flight: InFlightRequests) -> None:
        super().__init__(config)
        self._app = app
        self._in_flight = in_flight
        self._told_to_stop = False

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Begin to leave; a second signal ends the process without waiting."""
        # uvicorn would remember the signal and raise it again after a clean shutdown, which ends the process with the
        # signal's status. A drained server has done what it was asked to do.
        serving: Serving | None = getattr(self._app.state, "serving", None)
        if self._told_to_stop or serving is None:
            self.force_exit = self._told_to_stop
            self.should_exit = True
        else:
            serving.shutdown.leave_soon()
        self._told_to_stop = True

    async def on_tick(self, counter: int) -> bool:
        """Listen until the drain is over: what comes in the meantime is refused, not lost."""
        if self._told_to_stop:
            # A signal during start-up found no event loop yet to tell.
            self._app.state.serving.shutdown.leave()
        if self._in_flight.drained():
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Close what is open; at a second signal that is all, and the process ends here.

        Otherwise the application would be cancelled in the midst of its work, which it reports as an error.
        """
        await super().shutdown(sockets)
        if self.force_exit:
            logger.warning("stopped at once by a second signal")
            end_process(_STOPPED_AT_ONCE)


def end_process(status: int) -> NoReturn:
    """End the process without taking Python and its libraries down; what was logged is written first."""
    logging.shutdown()
    os._exit(status)
