"""How a server stops: it leaves, then it drains.

told to stop      a signal (`process/stop_signals.py`), or the end of the application
leaving           requests are accepted; `/health/ready` says 503, and load balancers send no more
draining          new requests are refused with 503, accepted ones have the drain timeout to finish
drained           nothing accepted is in flight, or time is up (`process/in_flight_requests.py`); the process ends
"""

import asyncio
import logging
from collections.abc import Callable

logger = logging.getLogger(__name__)


class Shutdown:
    """How far the end of a server has come.

    Args:
        delay_seconds: Time for which a server that leaves still accepts requests.
        timeout_seconds: Time that accepted requests have to finish once the server drains.
        has_traffic: Tells whether there may be traffic to lead elsewhere; if not, the server drains at once.
        on_drain: Called when the drain begins.
        on_timeout: Called when accepted requests have had their time.
    """

    def __init__(
        self,
        *,
        delay_seconds: float,
        timeout_seconds: float,
        has_traffic: Callable[[], bool],
        on_drain: Callable[[], None],
        on_timeout: Callable[[], None],
    ) -> None:
        self.leaving = False
        self.draining = False
        self._delay_seconds = delay_seconds
        self._timeout_seconds = timeout_seconds
        self._has_traffic = has_traffic
        self._on_drain = on_drain
        self._on_timeout = on_timeout
        self._timeout: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def allow_signals(self) -> None:
        """Let `leave_soon` find the event loop that runs now."""
        self._loop = asyncio.get_running_loop()

    def leave(self) -> None:
        """Tell load balancers to send no more, and drain when the drain delay has passed."""
        if self.leaving:
            return
        self.leaving = True
        delay = self._delay_seconds if self._has_traffic() else 0
        if delay:
            logger.info("leaving: not ready any more, requests are still accepted for %g s", delay)
            asyncio.get_running_loop().call_later(delay, self.drain)
        else:
            self.drain()

    def leave_soon(self) -> None:
        """Do `leave` on the event loop; a signal handler may interrupt it anywhere."""
        if self._loop is not None:
            self._loop.call_soon_threadsafe(self.leave)

    def drain(self) -> None:
        """Refuse new requests from now on."""
        if self.draining:
            return
        logger.info("draining: new requests are refused, accepted ones are answered")
        self.leaving = self.draining = True
        self._on_drain()
        self._timeout = asyncio.get_running_loop().call_later(self._timeout_seconds, self._on_timeout)

    def end(self) -> None:
        """Call `on_timeout` no more."""
        if self._timeout is not None:
            self._timeout.cancel()
