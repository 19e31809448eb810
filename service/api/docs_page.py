"""`/docs`, with its scripts from this server: it works without the internet and tells nobody that it was opened."""

import base64
import hashlib
import re

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

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
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
        page.headers["Content-Security-Policy"] = _content_security_policy(bytes(page.body))
        return page


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
