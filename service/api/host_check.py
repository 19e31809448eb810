"""Whom a request is addressed to: by its `Host`, the server answers only for names that are its own.

A page in a browser can let its own host name resolve to 127.0.0.1 (DNS rebinding). For the browser the server is then
of the page's origin, and neither CORS nor loopback protects it; but the request still carries the page's host name.
"""

import re
from collections.abc import Collection, Sequence
from functools import lru_cache

from starlette.requests import Request
from starlette.types import ASGIApp, Receive, Scope, Send

from bigbird_inference.addresses import is_address, is_loopback
from bigbird_inference.errors import MalformedRequest
from service.api.problems import service_problem
from service.settings import environment_name

# Clients name the same few hosts in every request.
_REMEMBERED_HOSTS = 64
_HOST = re.compile(r"(\[[^]]*\]|[^:]*?)\.?(?::[0-9]*)?")


def hosts_are_checked(listening: Sequence[str], allowed: Collection[str]) -> bool:
    """Tell whether not every name will do: names are given, or only this machine can reach the server."""
    return bool(allowed) or _on_loopback_only(listening)


class HostCheck:
    """ASGI middleware that refuses requests to other names than those of loopback and those that are allowed.

    A server that others can reach may be called by any address, too: no page can have an address resolved to another.
    Where there is no `Host` there is no browser.

    Args:
        app: The application behind it.
        listening: The addresses that the server listens on.
        allowed: Names beside those of loopback.
    """

    def __init__(self, app: ASGIApp, listening: Sequence[str], allowed: Collection[str]) -> None:
        self._app = app
        self._any_address = not _on_loopback_only(listening)
        self._allowed = {_name(name) for name in allowed}
        self._is_own = lru_cache(_REMEMBERED_HOSTS)(self._may_be_called)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            request = Request(scope)
            if not all(map(self._is_own, request.headers.getlist("host"))):
                detail = f"This server is not known by that host name; add it to {environment_name('allowed_hosts')}."
                await service_problem(request, MalformedRequest(detail))(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _may_be_called(self, host: str) -> bool:
        name = _name(host)
        return is_loopback(name) or name in self._allowed or (self._any_address and is_address(name))


def _on_loopback_only(listening: Sequence[str]) -> bool:
    return all(map(is_loopback, listening))


def _name(host: str) -> str:
    """Return a host without port, brackets and the dot at the end, in lower case; empty if it is none."""
    parts = _HOST.fullmatch(host)
    return parts[1].strip("[]").lower() if parts else ""
