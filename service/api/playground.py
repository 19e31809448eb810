"""The page at `/`: what people try the service with, and show to each other.

Its files (`service/playground`) are read once, at start; they hold no secret and need no key, and whatever the page
asks of the service it asks as any client does. Addresses in it are relative, so it works behind a proxy that serves it
under a prefix. Without the page, `/` leads to `/docs`.
"""

import hashlib
import mimetypes
from dataclasses import dataclass
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import RedirectResponse

from service.api.openapi import PATH as DOCS_PATH
from service.api.request_state import PLAYGROUND_FOLDER

_FILES = Path(__file__).resolve().parents[1] / "playground"
_PAGE = "index.html"
_READING = ["GET", "HEAD"]
_HEADERS = {
    # Kept, and asked for again each time: a new version of the service has its new page at once.
    "Cache-Control": "no-cache",
    "Content-Security-Policy": "; ".join(
        [
            "default-src 'none'",
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self'",
            "connect-src 'self'",
            "base-uri 'none'",
            "form-action 'none'",
            "frame-ancestors 'none'",
            # The one policy makes text of HTML files, in a document that runs nothing.
            "require-trusted-types-for 'script'",
            "trusted-types read-html",
        ]
    ),
}
_MEDIA_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript", ".svg": "image/svg+xml"}


@dataclass(frozen=True, slots=True)
class _File:
    """A file as it is sent."""

    content: bytes
    media_type: str
    etag: str

    @classmethod
    def read(cls, path: Path) -> "_File":
        content = path.read_bytes()
        kind = _MEDIA_TYPES.get(path.suffix) or mimetypes.guess_type(path.name)[0] or "application/octet-stream"
        charset = "" if kind == "application/json" else "; charset=utf-8"
        return cls(content, kind + charset, f'"{hashlib.sha256(content).hexdigest()[:32]}"')

    def answer(self, request: Request) -> Response:
        """Return the file, or that the browser has it already."""
        headers = {**_HEADERS, "ETag": self.etag}
        known = {tag.strip().removeprefix("W/") for tag in request.headers.get("if-none-match", "").split(",")}
        if known & {self.etag, "*"}:
            return Response(status_code=304, headers=headers)
        return Response(self.content, headers={**headers, "Content-Type": self.media_type})


def playground_routes() -> APIRouter:
    """Return the routes of the page and of its files."""
    router = APIRouter(include_in_schema=False)
    files = {
        path.relative_to(_FILES).as_posix(): _File.read(path)
        for path in sorted(_FILES.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }
    page = files.pop(_PAGE)

    async def start(request: Request) -> Response:
        return page.answer(request)

    async def file(name: str, request: Request) -> Response:
        if name not in files:
            raise HTTPException(404)
        return files[name].answer(request)

    router.add_api_route("/", start, methods=_READING, name="open_playground")
    router.add_api_route(PLAYGROUND_FOLDER + "{name:path}", file, methods=_READING, name="read_playground_file")
    return router


def docs_instead() -> APIRouter:
    """Return a route that leads from `/` to `/docs`."""
    router = APIRouter(include_in_schema=False)

    async def start() -> RedirectResponse:
        return RedirectResponse(DOCS_PATH.removeprefix("/"))

    router.add_api_route("/", start, methods=_READING, name="open_docs")
    return router
