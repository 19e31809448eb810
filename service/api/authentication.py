"""Keys over HTTP: `Authorization: Bearer KEY`.

`KeyGate` looks at the header before anything else of a request is read: while keys are configured, whoever brings none
gets no further than the open paths, whatever routes there are. `RequireKey` and `RequireAdmin` say at each route what
it needs (`dependencies=[RequireAdmin]`); they are also what the OpenAPI description is made of.
"""

from typing import Annotated, Any

from fastapi import Depends, Request, Security
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.types import ASGIApp, Receive, Scope, Send

from bigbird_inference.errors import AdminDisabled, Forbidden, Unauthorized
from service.api.problems import documented_problems, service_problem
from service.api.request_state import PLAYGROUND_FOLDER, PROBES, request_record
from service.security.access import Access, Key

KEY_SCHEME = "apiKey"
ADMIN_SCHEME = "adminKey"

_KEY = HTTPBearer(
    auto_error=False,
    scheme_name=KEY_SCHEME,
    description="The key itself, as `bigbird key NAME` printed it once: not the line of the key file, which holds only "
    "a hash of it, and without the word Bearer, which is added.",
)
_ADMIN = HTTPBearer(
    auto_error=False,
    scheme_name=ADMIN_SCHEME,
    description="The admin key itself, likewise, for changing models. It may stand in the other field, too.",
)
# Asked by machines that hold no keys (probes, Prometheus), and what a person reads before having one.
_OPEN_PATHS = PROBES | {"/", "/docs", "/openapi.json"}
_READING = ("GET", "HEAD")
_OPEN_FOLDERS = ("/docs/assets/", PLAYGROUND_FOLDER)


class KeyGate:
    """ASGI middleware that recognises callers, and refuses unknown ones before their body is read.

    What it found is `request.state.caller`, a `Key` or None.

    Args:
        app: The application behind it.
        access: The keys.
    """

    def __init__(self, app: ASGIApp, access: Access) -> None:
        self._app = app
        self._access = access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = Request(scope)
        caller = self._caller(request)
        request.state.caller = caller
        request_record(request).key = caller.name if caller else None
        if caller is None and self._access.keys_required and not _is_open(scope):
            await service_problem(request, _unauthorized())(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _caller(self, request: Request) -> Key | None:
        headers = request.headers.getlist("authorization")
        scheme, _, secret = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
        return self._access.recognise(secret.strip()) if scheme.lower() == "bearer" else None


def require_key(request: Request) -> None:
    """Do nothing if the caller is known, or need not be.

    Raises:
        Unauthorized: Keys are configured, and it brought none of them.
    """
    access: Access = request.app.state.access
    if access.keys_required and request.state.caller is None:
        raise _unauthorized()


async def _require_key(
    request: Request, declared: Annotated[HTTPAuthorizationCredentials | None, Security(_KEY)]
) -> None:
    require_key(request)


async def _require_admin(
    request: Request, declared: Annotated[HTTPAuthorizationCredentials | None, Security(_ADMIN)]
) -> None:
    access: Access = request.app.state.access
    caller: Key | None = request.state.caller
    if not access.admin_enabled:
        raise AdminDisabled("The server has no admin key, so models cannot be managed over HTTP.")
    if caller is None:
        raise _unauthorized()
    if not caller.admin:
        raise Forbidden("This needs the admin key.")


RequireKey = Depends(_require_key)
"""Any key, the admin key included; nothing while no keys are configured."""

RequireAdmin = Depends(_require_admin)
"""The admin key."""


def _is_open(scope: Scope) -> bool:
    path: str = scope["path"]
    return scope["method"] in _READING and (path in _OPEN_PATHS or path.startswith(_OPEN_FOLDERS))


def _unauthorized() -> Unauthorized:
    return Unauthorized("A known key is needed: the header `Authorization: Bearer KEY`.")


def describe_authentication(description: dict[str, Any], access: Access) -> None:
    """Add the answers 401 and 403 to operations that ask for a key, and leave out what is not configured."""
    configured = {KEY_SCHEME: access.keys_required, ADMIN_SCHEME: access.admin_enabled}
    for path in description["paths"].values():
        for operation in path.values():
            _describe(operation, configured)
    schemes = description["components"].get("securitySchemes", {})
    description["components"]["securitySchemes"] = {name: schemes[name] for name in schemes if configured[name]}


def _describe(operation: dict[str, Any], configured: dict[str, bool]) -> None:
    asked = {name for requirement in operation.pop("security", []) for name in requirement}
    if not asked:
        return
    problems = documented_problems(401, 403) if ADMIN_SCHEME in asked else documented_problems(401)
    operation["responses"].update({str(status): problem for status, problem in problems.items()})
    needed = sorted(name for name in asked if configured[name])
    if needed:
        operation["security"] = [{name: [] for name in needed}]
