"""What answers tell browsers.

Every answer: take it as what it says it is, keep it nowhere, run nothing, frame it nowhere. And which pages of other
origins may call the service: none, unless they are named. Without that a browser keeps a page's script from reading an
answer, and from sending JSON at all.
"""

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.api.request_context import REQUEST_ID_HEADER
from service.api.request_state import MODEL_REVISION_HEADER, TOKENS_HEADER, WINDOWS_HEADER
from service.dialects.inference_messages import HEADER_LENGTH

_EVERY_ANSWER = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    # Answers hold what documents hold.
    "Cache-Control": "no-store",
    # Data, unless a page comes with a policy of its own.
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
_PAGES = {
    "X-Frame-Options": "DENY",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), microphone=(), geolocation=(), payment=(), usb=()",
}


class SecurityHeaders:
    """ASGI middleware that adds headers, and leaves alone those that an answer has already.

    Args:
        app: The application behind it.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                page = headers.get("content-type", "").startswith("text/html")
                for name, value in (_EVERY_ANSWER | _PAGES if page else _EVERY_ANSWER).items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_with_headers)


_PREFLIGHT_SECONDS = 600


_READABLE = ["Retry-After", MODEL_REVISION_HEADER, REQUEST_ID_HEADER, TOKENS_HEADER, WINDOWS_HEADER, HEADER_LENGTH]


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
        # Clients of other services send headers of their own; none of them says more than a key does.
        allow_headers=["*"],
        expose_headers=_READABLE,
        allow_credentials=False,
        max_age=_PREFLIGHT_SECONDS,
    )
