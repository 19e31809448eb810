"""Every error as one JSON shape, `application/problem+json` (RFC 9457); the one place that knows HTTP statuses.

Only under `/v2` it is called `application/json`, where clients of the Open Inference Protocol look into nothing else.
Only under `/v1` `error` is an object, since OpenAI's clients take their exceptions' text from it.

What a client reads here never holds document text, and for an unexpected error nothing but the request id.
"""

import json
import logging
import math
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from bigbird_inference.errors import MalformedRequest, ServiceError, TextTooLarge
from service.api.disconnect import CLIENT_GONE_STATUS, ClientGone
from service.api.request_state import V2, request_record
from service.api.task_bodies import BRANCHES
from service.request_run import ItemFailed
from service.telemetry.logs import with_fields

logger = logging.getLogger(__name__)

PROBLEM_MEDIA_TYPE = "application/problem+json"
_JSON_MEDIA_TYPE = "application/json"
_OPENAI = "/v1/"

_MOST_FIELD_ERRORS = 20
_LONGEST_FIELD_NAME = 100
# Code and title of the statuses that the framework, a connection or the reading of a body gives.
_HTTP_PROBLEMS = {
    400: (MalformedRequest.code, MalformedRequest.title),
    404: ("not_found", "Not found"),
    405: ("method_not_allowed", "Method not allowed"),
    408: ("request_timeout", "Request timeout"),
    413: (TextTooLarge.code, TextTooLarge.title),
    415: ("unsupported_media_type", "Unsupported media type"),
    431: ("headers_too_large", "Headers too large"),
    503: ("too_many_connections", "Too many connections"),
}
# What tells a client what to do next, for OpenAPI.
_RETRY_AFTER = {
    "Retry-After": {
        "description": "After so many seconds the same request may succeed.",
        "schema": {"type": "integer", "minimum": 1},
    }
}
_DOCUMENTED_HEADERS = {
    401: {
        "WWW-Authenticate": {
            "description": "How to send a key.",
            "required": True,
            "schema": {"type": "string", "pattern": "^Bearer"},
        }
    },
    405: {
        "Allow": {
            "description": "The methods of this path.",
            "required": True,
            "schema": {"type": "string", "pattern": "^[A-Z, ]+$"},
        }
    },
    415: {
        "Accept-Encoding": {
            "description": "Where a content encoding was refused: `identity`.",
            "schema": {"type": "string", "const": "identity"},
        }
    },
    429: _RETRY_AFTER,
    503: _RETRY_AFTER,
}


class FieldErrorBody(BaseModel):
    """What is wrong with one field."""

    field: str = Field(description="Name of the field, with the position in a list: `text[3]`.")
    message: str


class OpenAIErrorBody(BaseModel):
    """What OpenAI's clients read."""

    message: str
    type: str
    code: str


class ProblemBody(BaseModel):
    """An error."""

    type: str = Field(description="Identifies the kind of problem; ends with `code`.")
    title: str
    status: int
    detail: str
    error: str | OpenAIErrorBody = Field(
        description="What clients of other services show: the same as `detail`, or what is wrong with each field; an "
        "object under `/v1`."
    )
    code: str = Field(description="The kind of problem, for programs.")
    request_id: str = Field(description="Also in the header `X-Request-Id` and in the server's log.")
    index: int | None = Field(None, description="The item of a list that failed.")
    errors: list[FieldErrorBody] | None = None


def install_problem_handlers(app: FastAPI) -> None:
    """Answer every expected exception of the application with a problem."""
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(ItemFailed, _item_failed)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_exception)
    app.add_exception_handler(ClientGone, _client_gone)


def documented_problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the `responses` of a route for OpenAPI."""
    schema = {"schema": {"$ref": "#/components/schemas/ProblemBody"}}
    return {
        status: {
            "description": HTTPStatus(status).phrase,
            "headers": _DOCUMENTED_HEADERS.get(status, {}),
            "content": {PROBLEM_MEDIA_TYPE: schema},
        }
        for status in statuses
    }


TASK_PROBLEMS = documented_problems(400, 404, 405, 408, 413, 415, 422, 429, 500, 503, 504)
"""Of every route on which a model is asked."""


def problem_media_type(path: str) -> str:
    """Return what a problem is called that answers a request for a path."""
    return _JSON_MEDIA_TYPE if path == V2 or path.startswith(f"{V2}/") else PROBLEM_MEDIA_TYPE


def problem_response(
    request_id: str,
    status: int,
    code: str,
    title: str,
    detail: str,
    *,
    path: str = "",
    headers: Mapping[str, str] | None = None,
    index: int | None = None,
    errors: Sequence[FieldErrorBody] | None = None,
) -> Response:
    """Build the answer for one problem."""
    # Clients of other services show nothing else.
    told = detail if errors is None else "; ".join(f"{entry.field}: {entry.message}" for entry in errors)
    problem = ProblemBody(
        type=f"urn:bigbird-serve:problem:{code}",
        title=title,
        status=status,
        detail=detail,
        error=OpenAIErrorBody(message=told, type=code, code=code) if path.startswith(_OPENAI) else told,
        code=code,
        request_id=request_id,
        index=index,
        errors=None if errors is None else list(errors),
    )
    # Escaped to ASCII: a field's name comes from the client and may hold what UTF-8 cannot.
    content = json.dumps(problem.model_dump(exclude_none=True))
    return Response(content, status, dict(headers or {}), problem_media_type(path))


def internal_error_response(request_id: str, path: str) -> Response:
    """Build the answer to an unexpected exception."""
    return problem_response(
        request_id,
        500,
        ServiceError.code,
        ServiceError.title,
        "Something unexpected happened; it was logged.",
        path=path,
    )


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)
    return service_problem(request, error)


async def _item_failed(request: Request, failure: Exception) -> Response:
    assert isinstance(failure, ItemFailed)
    return service_problem(request, failure.error, index=failure.index)


def service_problem(request: Request, error: ServiceError, index: int | None = None) -> Response:
    """Build the answer for an error of ours, and log it if it is one of the server's own."""
    record = request_record(request)
    if error.status == 500:
        fields = with_fields(request_id=record.request_id, trace_id=record.trace_id, model=record.model or None)
        logger.error("request failed: %s", error.detail, exc_info=error, extra=fields)
    headers = dict(error.headers)
    if error.retry_after_seconds is not None:
        headers["Retry-After"] = str(max(1, math.ceil(error.retry_after_seconds)))
    detail = error.detail if index is None else f"Item {index}: {error.detail}"
    return problem_response(
        record.request_id,
        error.status,
        error.code,
        error.title,
        detail,
        path=request.scope["path"],
        headers=headers,
        index=index,
    )


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    found = error.errors()
    fields = [
        FieldErrorBody(field=field_name(problem["loc"]), message=problem["msg"])
        for problem in found[:_MOST_FIELD_ERRORS]
    ]
    names = ", ".join(dict.fromkeys(entry.field for entry in fields))
    more = f" and {len(found) - len(fields)} more" if len(found) > len(fields) else ""
    return problem_response(
        request_record(request).request_id,
        422,
        "invalid_request",
        "Invalid request",
        f"Invalid fields: {names}{more}.",
        path=request.scope["path"],
        errors=fields,
    )


def field_name(location: Sequence[int | str]) -> str:
    """Return `text[3]` for `("body", "text", "<many>", 3)`."""
    name = ""
    for part in location[1:]:
        if isinstance(part, int):
            name += f"[{part}]"
        elif part not in BRANCHES:
            name += f".{part}" if name else part
    return name[:_LONGEST_FIELD_NAME] or "body"


async def _http_exception(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return http_problem_response(request_record(request).request_id, error, request.scope["path"])


def http_problem_response(request_id: str, error: HTTPException, path: str = "") -> Response:
    """Build the answer for an error of HTTP itself."""
    status = error.status_code
    code, title = _HTTP_PROBLEMS.get(status, ("http_error", HTTPStatus(status).phrase))
    detail = error.detail
    if status == 404:
        detail = "There is nothing at this path; see /docs."
    elif status == 405:
        detail = f"This path answers {(error.headers or {}).get('Allow', 'other methods')} only."
    return problem_response(request_id, status, code, title, detail, path=path, headers=error.headers)


async def _client_gone(request: Request, error: Exception) -> Response:
    """Nobody reads this; the status is for the metrics and the log."""
    return Response(status_code=CLIENT_GONE_STATUS)
