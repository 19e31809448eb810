"""Pages of other origins that may call the service from a browser: none, unless they are named.

Without this a browser keeps a page's script from reading an answer, and from sending JSON at all.
"""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

from service.api.request_context import REQUEST_ID_HEADER

_PREFLIGHT_SECONDS = 600


def allow_origins(app: FastAPI, origins: str) -> None:
    """Let pages of these origins call the service.

    Keys travel in a header that the page sets itself. So cookies and the like are never asked for, and a page can do no
    more than what it has a key for.

    Args:
        app: The application.
        origins: Their list, with commas, as the setting holds it.
    """
    app.add_middleware(
        CORSMiddleware,
        allow_origins=[origin.strip() for origin in origins.split(",")],
        allow_methods=["GET", "POST"],
        allow_headers=["Authorization", "Content-Type", REQUEST_ID_HEADER],
        expose_headers=["Retry-After", REQUEST_ID_HEADER],
        allow_credentials=False,
        max_age=_PREFLIGHT_SECONDS,
    )
