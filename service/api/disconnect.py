"""Giving up a request's work when its client has gone.

`service/request_run.py` then gives up its windows: those that wait leave their queue (`batching/waiting_room.py`), and
a batch that nobody else waits for ends (`batching/batch_runner.py`).
"""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from fastapi import Request

# Not a registered status and never sent: proxies and dashboards know it as "client closed request".
CLIENT_GONE_STATUS = 499

ResultT = TypeVar("ResultT")


class ClientGone(Exception):
    """The client closed the connection before its answer was there."""


async def unless_disconnected(request: Request, work: Coroutine[Any, Any, ResultT]) -> ResultT:
    """Do the work, but cancel it as soon as the client closes the connection.

    The request's body must have been read: after it the only message left is the disconnection.

    Raises:
        ClientGone: The client went first.
    """
    working = asyncio.ensure_future(work)
    watching = asyncio.ensure_future(_disconnection(request))
    try:
        await asyncio.wait([working, watching], return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise ClientGone
        return working.result()
    finally:
        working.cancel()
        watching.cancel()
        await asyncio.gather(working, watching, return_exceptions=True)


async def _disconnection(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass
