"""What a request carries: its record, from the outermost middleware to its route and back, and the running service.

And the paths that are treated differently from all others.
"""

from typing import Annotated

from fastapi import Depends, Request

from service.serving import Serving
from service.telemetry.request_record import RequestRecord

LIVE, READY, METRICS = "/health/live", "/health/ready", "/metrics"
V2 = "/v2"
OPENAI_EMBEDDINGS = "/v1/embeddings"
V2_LIVE, V2_READY = f"{V2}/health/live", f"{V2}/health/ready"
PROBES = frozenset({LIVE, READY, METRICS, V2_LIVE, V2_READY})
"""What watches the service asks for these; they need no key, are not bounded, and leave no log line."""

PLAYGROUND_FOLDER = "/playground/"
"""What the page at `/` is made of; open, as the page is."""

MODEL_REVISION_HEADER = "X-Model-Revision"
TOKENS_HEADER, WINDOWS_HEADER = "X-Tokens", "X-Windows"
"""What an answer took, in dialects that have no `usage`."""


def request_record(request: Request) -> RequestRecord:
    """Return the request's record."""
    record: RequestRecord = request.state.record
    return record


async def get_serving(request: Request) -> Serving:
    """Return the running service; a coroutine, because FastAPI runs plain functions on other threads."""
    serving: Serving = request.app.state.serving
    return serving


ServingDependency = Annotated[Serving, Depends(get_serving)]
