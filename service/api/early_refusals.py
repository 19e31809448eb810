"""What every request passes before a route sees its body, in order; whoever is refused here costs next to nothing.

| | Refused | Status |
|---|---|---|
| `HostCheck` | another server's name, on an address that only this machine reaches | 400 |
| `KeyGate` | no key, or a wrong one | 401 |
| `BodyTimeout` | a body that comes too slowly | 408 |
| `BodyLimit` | a body that is too large, as soon as that many bytes have come | 413 |
| `RequestLimit` | more requests, or more of their bytes, than are kept at a time | 429 |

Heads that no careful proxy would pass on come no further than `service/process/http_parser.py`; content types are asked
by the routes (`json_body.py`).
"""

from fastapi import FastAPI

from service.api.authentication import KeyGate
from service.api.body_limits import BodyLimit, BodyTimeout
from service.api.host_check import HostCheck, hosts_are_checked
from service.api.request_context import RequestContext
from service.api.request_limit import RequestLimit
from service.api.response_headers import SecurityHeaders, allow_origins
from service.security.access import Access
from service.settings import Settings
from service.telemetry.metrics import Metrics
from service.telemetry.tracing import Tracing


def refuse_early(app: FastAPI, settings: Settings, access: Access, metrics: Metrics, tracing: Tracing) -> None:
    """Put the checks, the request's record and the headers of every answer around the routes."""
    # From the route outwards: what is added last sees a request first.
    app.add_middleware(
        RequestLimit,
        max_requests=settings.max_requests,
        max_bytes=settings.max_requests_bytes,
        max_answers_bytes=settings.max_answers_bytes,
        metrics=metrics,
    )
    app.add_middleware(BodyLimit, max_bytes=settings.max_body_bytes)
    app.add_middleware(BodyTimeout, seconds=settings.body_timeout_seconds)
    app.add_middleware(KeyGate, access=access)
    if settings.cors_origins:
        allow_origins(app, settings.cors_origins)
    if hosts_are_checked(settings.hosts, settings.allowed_host_names):
        app.add_middleware(HostCheck, listening=settings.hosts, allowed=settings.allowed_host_names)
    app.add_middleware(RequestContext, metrics=metrics, tracing=tracing)
    app.add_middleware(SecurityHeaders)
