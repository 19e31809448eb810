"""Routes for JSON bodies: the headers must say JSON and the bytes must be JSON, before any field is looked at."""

from collections.abc import Callable, Coroutine
from typing import Any

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bigbird_inference.errors import MalformedRequest
from service.api.disconnect import ClientGone
from service.api.json_text import parse_json
from service.serving import Serving

# Beside the items of two lists: fields, and as much again that is wrong and gets an answer that names it.
_OTHER_VALUES = 1000
# Those who parse a header after this take time that grows with the square of its length.
_LONGEST_CONTENT_TYPE = 256
_CHARSETS = ("utf-8", "utf8", "us-ascii")


class JsonRequest(Request):
    """A request whose body has been parsed already."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


class JsonRoute(APIRoute):
    """A route that takes JSON and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the check of content type and body."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            _require_json(request)
            _require_plain(request)
            json_request = JsonRequest(request.scope, request.receive)
            try:
                body = await json_request.body()
            except ClientDisconnect:
                raise ClientGone from None
            if not body:
                raise MalformedRequest("The body is empty.")
            serving: Serving = request.app.state.serving
            json_request.parsed = parse_json(body, 2 * serving.settings.max_list_items + _OTHER_VALUES)
            return await handle(json_request)

        return handle_json


def _require_json(request: Request) -> None:
    """Accept `application/json`, with the charset UTF-8 if it names one."""
    headers = request.headers.getlist("content-type")
    if len(headers) != 1 or len(headers[0]) > _LONGEST_CONTENT_TYPE:
        raise HTTPException(415, "The content type must be application/json.")
    media_type, *parameters = headers[0].split(";")
    if media_type.strip().lower() != "application/json":
        raise HTTPException(415, "The content type must be application/json.")
    for parameter in parameters:
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip().strip('"').lower() not in _CHARSETS:
            raise HTTPException(415, "JSON must be encoded as UTF-8.")


def _require_plain(request: Request) -> None:
    """Refuse compressed bodies: a kilobyte of them can hold a gigabyte."""
    for header in request.headers.getlist("content-encoding"):
        if header.strip().lower() not in ("", "identity"):
            raise HTTPException(
                415, "The body must be sent without a content encoding.", headers={"Accept-Encoding": "identity"}
            )
