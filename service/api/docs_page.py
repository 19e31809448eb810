"""`/docs`, with its scripts from this server: it works without the internet and tells nobody that it was opened."""

from fastapi import FastAPI
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

PATH = "/docs"
_ASSETS = f"{PATH}/assets"
_ASSET_PACKAGE = "fastapi_offline"


def install_docs_page(app: FastAPI) -> None:
    """Serve Swagger UI for the application's own description."""
    app.mount(_ASSETS, StaticFiles(packages=[(_ASSET_PACKAGE, "static")]), name="docs-assets")

    @app.get(PATH, include_in_schema=False)
    async def docs() -> HTMLResponse:
        return get_swagger_ui_html(
            openapi_url=str(app.openapi_url),
            title=app.title,
            swagger_js_url=f"{_ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{_ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{_ASSETS}/favicon.png",
        )
