"""A stand-in for the Hugging Face hub on the loopback interface: the endpoints that a download of a model uses."""

import hashlib
import json
import threading
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class HubServer:
    """Serves one model, at the revision `main`, and remembers what it was asked for.

    Attributes:
        model: Its id.
        files: Contents by name.
        refusal: A status and an error code that answer everything instead; None to serve.
        requests: Method and path of each request, in order.
        user_agents: What the requests say about who asks.
    """

    model: str
    files: dict[str, bytes]
    refusal: tuple[int, str] | None = None
    requests: list[str] = field(default_factory=list)
    user_agents: set[str] = field(default_factory=set)

    def __enter__(self) -> "HubServer":
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self))
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._server.server_port}"

    def downloaded(self) -> list[str]:
        """Return the names of the files whose contents were sent."""
        prefix = f"GET /{self.model}/resolve/{COMMIT}/"
        return sorted(request.removeprefix(prefix) for request in self.requests if request.startswith(prefix))

    def answer(self, path: str) -> tuple[int, dict[str, str], bytes]:
        """Return status, headers and content."""
        api = f"/api/models/{self.model}"
        resolve = f"/{self.model}/resolve/{COMMIT}/"
        if self.refusal is not None:
            return self.refusal[0], {"X-Error-Code": self.refusal[1]}, b"{}"
        if path == f"{api}/revision/main":
            return _json({"_id": "1", "id": self.model, "sha": COMMIT, "siblings": []})
        if path == f"{api}/tree/{COMMIT}":
            listing = [
                {"type": "file", "path": name, "size": len(content), "oid": _etag(content)}
                for name, content in self.files.items()
            ]
            return _json(listing)
        if path.startswith(f"{api}/revision/"):
            return 404, {"X-Error-Code": "RevisionNotFound"}, b"{}"
        content = self.files.get(path.removeprefix(resolve)) if path.startswith(resolve) else None
        if content is None:
            # What the real one says to somebody who is not logged in.
            return 401, {"X-Error-Code": "RepoNotFound"}, b"{}"
        return 200, {"ETag": f'"{_etag(content)}"', "X-Repo-Commit": COMMIT}, content


def _etag(content: bytes) -> str:
    return hashlib.sha1(content).hexdigest()


def _json(value: Any) -> tuple[int, dict[str, str], bytes]:
    return 200, {"Content-Type": "application/json"}, json.dumps(value).encode()


def _handler_of(hub: HubServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            hub.requests.append(f"{self.command} {path}")
            hub.user_agents.add(self.headers.get("User-Agent", ""))
            status, headers, content = hub.answer(path)
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(content))}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(content)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
