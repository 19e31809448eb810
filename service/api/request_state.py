"""What a request carries: its record, from the outermost middleware to its route and back, and the running service."""

from typing import Annotated

from fastapi import Depends, Request

from service.serving import Serving
from service.telemetry.request_record import RequestRecord


def request_record(request: Request) -> RequestRecord:
    """Return the request's record."""
    record: RequestRecord = request.state.record
    return record


async def get_serving(request: Request) -> Serving:
    """Return the running service; a coroutine, because FastAPI runs plain functions on other threads."""
    serving: Serving = request.app.state.serving
    return serving


ServingDependency = Annotated[Serving, Depends(get_serving)]
