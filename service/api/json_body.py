"""Strict JSON bodies: the content type must say JSON and the bytes must be JSON, before any field is looked at."""

import json
from collections.abc import Callable, Coroutine
from email.message import Message
from typing import Any, NoReturn

from fastapi import Request, Response
from fastapi.routing import APIRoute
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from service.api.disconnect import ClientGone


class JsonRequest(Request):
    """A request whose JSON is parsed by the letter of RFC 8259: UTF-8, no NaN, no Infinity."""

    async def json(self) -> Any:
        """Return the parsed body.

        Raises:
            HTTPException: 400, the body is not JSON.
        """
        try:
            return json.loads((await self.body()).decode("utf-8-sig"), parse_constant=_refuse_constant)
        except UnicodeDecodeError as error:
            raise HTTPException(400, f"The body is not UTF-8 at byte {error.start}.") from None
        except json.JSONDecodeError as error:
            detail = f"The body is not JSON at line {error.lineno}, column {error.colno}: {error.msg}."
            raise HTTPException(400, detail) from None
        except RecursionError:
            raise HTTPException(400, "The body is nested too deeply.") from None
        except ValueError:
            # Python refuses to convert integers of more than 4,300 digits.
            raise HTTPException(400, "The body holds a number with too many digits.") from None


class JsonRoute(APIRoute):
    """A route that takes JSON and nothing else."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return FastAPI's handler behind the check of content type and body."""
        handle = super().get_route_handler()

        async def handle_json(request: Request) -> Response:
            _require_json(request)
            json_request = JsonRequest(request.scope, request.receive)
            try:
                if not await json_request.body():
                    raise HTTPException(400, "The body is empty.")
            except ClientDisconnect:
                raise ClientGone from None
            return await handle(json_request)

        return handle_json


def _require_json(request: Request) -> None:
    """Accept `application/json`, with the charset UTF-8 if it names one."""
    header = Message()
    header["content-type"] = request.headers.get("content-type", "")
    charset = header.get_content_charset("utf-8")
    if header["content-type"] == "" or header.get_content_type() != "application/json":
        raise HTTPException(415, "The content type must be application/json.")
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise HTTPException(415, "JSON must be encoded as UTF-8.")


def _refuse_constant(name: str) -> NoReturn:
    raise HTTPException(400, f"The body is not JSON: {name} is not a JSON value.")
