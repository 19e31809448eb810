"""Routes for JSON bodies: the headers must say JSON and the bytes must be JSON, before any field is looked at.

JSON is read by the letter of RFC 8259, in a time and into a memory that its author cannot choose. A body of 16 MiB can
hold eight million zeros, and a validator would describe each of them: minutes, in which nobody else is served. So what
stands outside strings is counted before anything is parsed. No request needs many values: one text is one.
"""

import json
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar, get_type_hints

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import TypeAdapter, ValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from bigbird_inference import strict_json
from bigbird_inference.errors import MalformedRequest, TextTooLarge
from service.api.authentication import RequireKey, require_key
from service.api.disconnect import ClientGone
from service.serving import Serving
from service.settings import Settings

BodyT = TypeVar("BodyT")


def parse_json(body: bytes, most_values: int) -> Any:
    """Return the value that a body holds.

    Args:
        body: UTF-8, with or without a byte order mark.
        most_values: Most items of lists and fields of objects, all together.

    Raises:
        TextTooLarge: It holds more values.
        MalformedRequest: It is not JSON, or names a field twice; the message says where, and quotes no text.
    """
    if not _holds_at_most(body, most_values):
        raise TextTooLarge(f"The body holds more than {most_values} values; split it into several requests.")
    try:
        return strict_json.loads(body.decode("utf-8-sig"), parse_float=_number)
    except strict_json.NameTwice:
        raise MalformedRequest("The body names a field twice in one object.") from None
    except strict_json.NotJson as error:
        raise MalformedRequest(f"The body is not JSON: {error.constant} is not a JSON value.") from None
    except UnicodeDecodeError as error:
        raise MalformedRequest(f"The body is not UTF-8 at byte {error.start}.") from None
    except json.JSONDecodeError as error:
        detail = f"The body is not JSON at line {error.lineno}, column {error.colno}: {error.msg}."
        raise MalformedRequest(detail) from None
    except RecursionError:
        raise MalformedRequest("The body is nested too deeply.") from None
    except ValueError:
        # Python refuses to convert integers of more than 4,300 digits.
        raise MalformedRequest("The body holds a number with too many digits.") from None


def _holds_at_most(body: bytes, most: int) -> bool:
    """Tell whether no more values can be in it, by the characters that begin or separate values."""
    if _separators(body) <= most:
        return True
    # A text may hold as many commas as it likes. Without escaped quotes, every second part is outside of strings.
    plain = body.replace(rb"\\", b"").replace(rb"\"", b"")
    if plain.count(b'"') > 4 * (most + 1):
        return False
    return sum(_separators(part) for part in plain.split(b'"')[::2]) <= most


def _separators(part: bytes) -> int:
    return part.count(b",") + part.count(b"[") + part.count(b"{")


def _number(text: str) -> float | int:
    """Return an integer for `5.0`, too: JSON knows one kind of number, and its schemas take 5.0 for an integer."""
    number = float(text)
    return int(number) if number.is_integer() else number


# An object of two texts, in a list.
_VALUES_OF_AN_ITEM = 3
# Beside the items of lists: fields, and as much again that is wrong and gets an answer that names it.
_OTHER_VALUES = 1000
# Those who parse a header after this take time that grows with the square of its length.
_LONGEST_CONTENT_TYPE = 256
_CHARSETS = ("utf-8", "utf8", "us-ascii")


def most_values(settings: Settings, other: int = _OTHER_VALUES) -> int:
    """Return how many values a body may hold: those of its lists of texts, and some others."""
    return _VALUES_OF_AN_ITEM * settings.max_list_items + other


class JsonRequest(Request):
    """A request whose body has been parsed already."""

    parsed: Any = None

    async def json(self) -> Any:
        return self.parsed


Handler = Callable[[JsonRequest], Coroutine[Any, Any, Response]]


class JsonRoute(APIRoute):
    """A route that takes JSON and nothing else.

    Its function is given the request, the body as it is declared, and the service. One that declares no body reads the
    JSON itself, and may take what any function of FastAPI takes.

    Attributes:
        other_values: Most values of a body, beside those that lists of texts have.
    """

    other_values = _OTHER_VALUES

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return a handler that checks content type and body, and then calls the route's function."""
        handle: Handler = super().get_route_handler() if self.body_field is None else self._call_with_body()

        async def handle_json(request: Request) -> Response:
            require_json(request)
            require_plain(request)
            json_request = JsonRequest(request.scope, request.receive)
            try:
                body = await json_request.body()
            except ClientDisconnect:
                raise ClientGone from None
            if not body:
                raise MalformedRequest("The body is empty.")
            serving: Serving = request.app.state.serving
            json_request.parsed = parse_json(body, most_values(serving.settings, self.other_values))
            return await handle(json_request)

        return handle_json

    def _call_with_body(self) -> Handler:
        """Return what validates the body and calls the function.

        FastAPI's own way there, which reads the content type once more and looks for dependencies, takes longer than
        everything else that is done for a request before its text is encoded.
        """
        parameters = get_type_hints(self.endpoint, include_extras=True)
        if parameters.keys() - {"return"} != {"request", "body", "serving"}:
            raise TypeError(f"{self.name} declares a body, so it is given that, request and serving, and no more")
        if any(dependency != RequireKey for dependency in self.dependencies):
            raise TypeError(f"{self.name} declares a body, so it cannot ask for more than a key")
        adapter = TypeAdapter(parameters["body"])

        async def call_with_body(request: JsonRequest) -> Response:
            require_key(request)
            body = validated(adapter, request.parsed)
            response: Response = await self.endpoint(request=request, body=body, serving=request.app.state.serving)
            return response

        return call_with_body


def validated(adapter: TypeAdapter[BodyT], parsed: Any) -> BodyT:
    """Return a parsed body as what it is declared to be.

    Raises:
        RequestValidationError: It is not that; the problem names the fields.
    """
    try:
        return adapter.validate_python(parsed)
    except ValidationError as error:
        found = [{**entry, "loc": ("body", *entry["loc"])} for entry in error.errors(include_url=False)]
        raise RequestValidationError(found) from None


def require_json(request: Request) -> None:
    """Refuse all but `application/json`, with the charset UTF-8 if it names one."""
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


def require_plain(request: Request) -> None:
    """Refuse compressed bodies: a kilobyte of them can hold a gigabyte."""
    for header in request.headers.getlist("content-encoding"):
        if header.strip().lower() not in ("", "identity"):
            raise HTTPException(
                415, "The body must be sent without a content encoding.", headers={"Accept-Encoding": "identity"}
            )
