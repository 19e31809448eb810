"""The OpenAPI description and its page, `/docs`: FastAPI's own, and what FastAPI cannot know.

That is: the schemas of problems, which every route refers to, and of bodies that may be partly binary; what any path
can answer before its route is asked, the headers of all answers, keys, and the limits that are settings. The page has
its scripts from this server: it works without the internet and tells nobody that it was opened. Addresses in the page
and in the description are relative, so both work behind a proxy that serves them under a prefix.
"""

import base64
import hashlib
import re
from collections.abc import Iterator
from typing import Any

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from pydantic.json_schema import models_json_schema
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from bigbird_inference.tasks.declaration import VISIBLE_PATTERN
from service.api.authentication import describe_authentication
from service.api.problems import PROBLEM_MEDIA_TYPE, ProblemBody, documented_problems, problem_media_type
from service.api.request_context import REQUEST_ID_HEADER
from service.dialects.inference_messages import InferenceBody
from service.serving import Serving
from service.settings import Settings

PATH = "/docs"
_ASSETS = f"{PATH}/assets"
_ASSET_PACKAGE = "fastapi_offline"

_INLINE_SCRIPT = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


class _WholeFiles(StaticFiles):
    """Files without ranges: nobody needs a part of these, and a malformed range is not answered with a problem."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in scope["headers"] if name != b"range"]
        await super().__call__({**scope, "headers": headers}, receive, send)


def install_docs_page(app: FastAPI) -> None:
    """Serve Swagger UI for the application's own description."""
    app.mount(_ASSETS, _WholeFiles(packages=[(_ASSET_PACKAGE, "static")]), name="docs-assets")

    @app.get(PATH, include_in_schema=False)
    async def docs() -> HTMLResponse:
        page = get_swagger_ui_html(
            openapi_url=_relative(str(app.openapi_url)),
            title=app.title,
            swagger_js_url=_relative(f"{_ASSETS}/swagger-ui-bundle.js"),
            swagger_css_url=_relative(f"{_ASSETS}/swagger-ui.css"),
            swagger_favicon_url=_relative(f"{_ASSETS}/favicon.png"),
        )
        page.headers["Content-Security-Policy"] = _content_security_policy(bytes(page.body))
        return page


def _relative(path: str) -> str:
    """Return a path of this server as it is written in `/docs`, whatever stands before it."""
    return path.removeprefix("/")


def _content_security_policy(page: bytes) -> str:
    """Allow what the page is made of: this server's files, and the one script inside it by its hash."""
    hashes = [hashlib.sha256(script).digest() for script in _INLINE_SCRIPT.findall(page)]
    scripts = " ".join(f"'sha256-{base64.b64encode(digest).decode()}'" for digest in hashes)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'self' {scripts}",
            # Swagger UI sets styles on its elements, and draws with images inside its style sheet.
            "style-src 'self' 'unsafe-inline'",
            "img-src 'self' data:",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
        ]
    )


def describe_limits(schemas: dict[str, Any], settings: Settings) -> None:
    """Tell the longest text and the longest list in every request body that has them."""
    for schema in _within(list(schemas.values())):
        if schema.get("pattern") == VISIBLE_PATTERN:
            schema["maxLength"] = settings.max_characters
        elif schema.get("items", {}).get("pattern") == VISIBLE_PATTERN:
            schema["maxItems"] = min(schema.get("maxItems", settings.max_list_items), settings.max_list_items)


def _name_alternatives(schemas: dict[str, Any]) -> None:
    """Give an enumeration or an object that may be null its field's title, after which generated clients call it."""
    for schema in _within(list(schemas.values())):
        for part in schema.get("anyOf", []):
            if "title" in schema and ("enum" in part or part.get("type") == "object"):
                part.setdefault("title", schema["title"])


def _within(value: Any) -> Iterator[dict[str, Any]]:
    """Return every object in a JSON value, outer ones first."""
    if isinstance(value, dict):
        yield value
        value = list(value.values())
    if isinstance(value, list):
        for part in value:
            yield from _within(part)


# What is not HTTP, too slow or too much; a method that the path has not; a fault; a server that is not ready.
_ANYWHERE = (400, 405, 408, 429, 431, 500, 503)
# Headers that are too large are refused before anybody knows which path is meant.
_BEFORE_THE_PATH = "431"
_REQUEST_ID = {
    "description": "The request's own `X-Request-Id`, or one that was made.",
    "required": True,
    "schema": {"type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._:-]{0,127}$"},
}


class DescribedApplication(FastAPI):
    """A FastAPI application whose description is complete."""

    def openapi(self) -> dict[str, Any]:
        """Return the description, made when it is first asked for, with the notes of the models served now."""
        if self.openapi_schema is None:
            description = super().openapi()
            _, others = models_json_schema(
                [(ProblemBody, "serialization"), (InferenceBody, "validation")],
                ref_template="#/components/schemas/{model}",
            )
            description["components"]["schemas"].update(others["$defs"])
            describe_limits(description["components"]["schemas"], self.state.settings)
            _name_alternatives(description["components"]["schemas"])
            describe_authentication(description, self.state.access)
            _describe_answers(description)
            # Beside the description itself, wherever a proxy has put it.
            description["servers"] = [{"url": "."}]
            self.openapi_schema = description
        serving: Serving | None = getattr(self.state, "serving", None)
        notes = [] if serving is None else [f"**{note}**\n" for note in serving.models.notes()]
        info = self.openapi_schema["info"]
        return {**self.openapi_schema, "info": {**info, "description": "\n".join([info["description"], *notes])}}


def _describe_answers(description: dict[str, Any]) -> None:
    """Add the problems that every operation can answer with, and the header that every answer has."""
    description["components"]["headers"] = {REQUEST_ID_HEADER: _REQUEST_ID}
    anywhere = {str(status): problem for status, problem in documented_problems(*_ANYWHERE).items()}
    for path, operations in description["paths"].items():
        for operation in operations.values():
            responses = {**anywhere, **operation["responses"]}
            operation["responses"] = {
                status: _described_answer(response, path, status) for status, response in sorted(responses.items())
            }


def _described_answer(response: dict[str, Any], path: str, status: str) -> dict[str, Any]:
    reference = {"$ref": f"#/components/headers/{REQUEST_ID_HEADER}"}
    described = {**response, "headers": {**response.get("headers", {}), REQUEST_ID_HEADER: reference}}
    problem = response.get("content", {}).get(PROBLEM_MEDIA_TYPE)
    if problem is None or status == _BEFORE_THE_PATH:
        return described
    return {**described, "content": {problem_media_type(path): problem}}
