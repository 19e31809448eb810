"""A stand-in for the Hugging Face hub on the loopback interface: the endpoints that a download of a model uses.

As there, small files come from the hub itself and large ones from another host, to which the hub redirects with an
address that is good for whoever holds it.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, Literal
from urllib.parse import unquote, urlsplit

LARGE = (".safetensors", ".bin", ".msgpack", ".model", ".onnx")
"""What is kept apart, as .gitattributes has it there."""
_REVISION = re.compile(r"/api/models/(?P<id>.+)/revision/(?P<revision>[^/]+)")
_TREE = re.compile(r"/api/models/(?P<id>.+)/tree/(?P<revision>[^/]+)")
_FILE = re.compile(r"/(?P<id>.+?)/resolve/(?P<revision>[^/]+)/(?P<name>.+)")


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body."""

    status: int
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes = b""


@dataclass
class Repository:
    """A model.

    Attributes:
        files: Contents by name, on the branch `main`.
        revisions: The same of other branches and tags.
        access: Who may read it: anybody, whoever has the token, or (its files) whoever has the token.
    """

    files: Mapping[str, bytes]
    revisions: Mapping[str, Mapping[str, bytes]] = field(default_factory=dict)
    access: Literal["public", "private", "gated"] = "public"

    @classmethod
    def of(cls, folder: Path) -> "Repository":
        """Return the model of a folder's files."""
        files = (path for path in sorted(folder.rglob("*")) if path.is_file())
        return cls({str(path.relative_to(folder)): path.read_bytes() for path in files})

    def commit(self, revision: str = "main") -> str | None:
        """Return the commit of a branch, tag or commit, if there is such a one."""
        commits = {name: _commit(files) for name, files in {"main": self.files, **self.revisions}.items()}
        return commits.get(revision, revision if revision in commits.values() else None)

    def files_of(self, commit: str) -> Mapping[str, bytes]:
        return next(files for files in (self.files, *self.revisions.values()) if _commit(files) == commit)


@dataclass
class HubServer:
    """Serves models, and remembers what it was asked for.

    Attributes:
        models: By id.
        token: What a request must be authorised with, where it must be.
        instead: Answers to give instead, each once: to the next request in whose path the pattern is found.
        requests: Method and path of each request to the hub, in order.
        store_requests: The same of the host of large files.
        headers: Those of each request to the hub.
        store_headers: Those of each request to the host of large files.
    """

    models: Mapping[str, Repository]
    token: str = "hf_token"
    instead: list[tuple[str, Answer]] = field(default_factory=list)
    requests: list[str] = field(default_factory=list)
    store_requests: list[str] = field(default_factory=list)
    headers: list[dict[str, str]] = field(default_factory=list)
    store_headers: list[dict[str, str]] = field(default_factory=list)

    def __enter__(self) -> "HubServer":
        self._servers = [
            ThreadingHTTPServer(("127.0.0.1", 0), _handler_of(self.requests, self.headers, self.answer)),
            ThreadingHTTPServer(
                ("127.0.0.1", 0), _handler_of(self.store_requests, self.store_headers, self.store_answer)
            ),
        ]
        poll = {"poll_interval": 0.01}
        self._threads = [threading.Thread(target=server.serve_forever, kwargs=poll) for server in self._servers]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        for server, thread in zip(self._servers, self._threads, strict=True):
            server.shutdown()
            server.server_close()
            thread.join()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._servers[0].server_port}"

    @property
    def store_url(self) -> str:
        return f"http://127.0.0.1:{self._servers[1].server_port}"

    def downloaded(self) -> list[str]:
        """Return the names of the files whose contents were sent."""
        asked = [request.removeprefix("GET ") for request in self.requests if request.startswith("GET ")]
        small = [unquote(found["name"]) for path in asked if (found := _FILE.fullmatch(path)) and not _is_large(path)]
        large = [unquote(request.split("/", 3)[3]) for request in self.store_requests if request.startswith("GET ")]
        return sorted([*small, *large])

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Return what the hub answers."""
        if (answer := self._instead_of(path)) is not None:
            return answer
        known = headers.get("authorization") == f"Bearer {self.token}"
        if "authorization" in headers and not known:
            return Answer(401, {"X-Error-Message": "Invalid credentials in Authorization header"})
        for pattern in (_REVISION, _TREE, _FILE):
            if found := pattern.fullmatch(path):
                model = self.models.get(found["id"])
                if model is None or (model.access == "private" and not known):
                    # What the real one says to somebody who is not logged in, and to others.
                    return Answer(404 if known else 401, {"X-Error-Code": "RepoNotFound"})
                commit = model.commit(unquote(found["revision"]))
                if commit is None:
                    return Answer(404, {"X-Error-Code": "RevisionNotFound"})
                if pattern is _REVISION:
                    return _json({"_id": "1", "id": found["id"], "sha": commit, "siblings": []})
                if pattern is _TREE:
                    return _json([_entry(name, content) for name, content in model.files_of(commit).items()])
                if model.access == "gated" and not known:
                    return Answer(401, {"X-Error-Code": "GatedRepo"})
                return self._file(model.files_of(commit), unquote(found["name"]), commit)
        return Answer(404)

    def _file(self, files: Mapping[str, bytes], name: str, commit: str) -> Answer:
        headers = {"X-Repo-Commit": commit}
        if name not in files:
            return Answer(404, {"X-Error-Code": "EntryNotFound", **headers})
        content = files[name]
        if not _is_large(name):
            return Answer(200, {"ETag": f'"{_git_hash(content)}"', **headers}, content)
        sha256 = hashlib.sha256(content).hexdigest()
        linked = {"X-Linked-Size": str(len(content)), "X-Linked-ETag": f'"{sha256}"'}
        return Answer(
            302, {"Location": f"{self.store_url}/store/{sha256}/{name}?Signature=secret", **linked, **headers}
        )

    def store_answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """Return what the host of large files answers."""
        if (answer := self._instead_of(path)) is not None:
            return answer
        sha256 = path.split("/")[2]
        revisions = (files for model in self.models.values() for files in (model.files, *model.revisions.values()))
        contents = (content for files in revisions for content in files.values())
        content = next(content for content in contents if hashlib.sha256(content).hexdigest() == sha256)
        return Answer(200, {}, content)

    def _instead_of(self, path: str) -> Answer | None:
        for number, (pattern, answer) in enumerate(self.instead):
            if re.search(pattern, path):
                del self.instead[number]
                return answer
        return None


def environment(endpoint: str, cache: Path) -> dict[str, str]:
    """Return the variables of a process whose hub is at that address, with a cache of its own and nobody logged in."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("HF_", "HUGGING"))}
    return {**kept, "HF_ENDPOINT": endpoint, "HF_HOME": str(cache), "NO_PROXY": "127.0.0.1"}


def always(pattern: str, answer: Answer) -> list[tuple[str, Answer]]:
    """Return as many answers as a client may ever ask for."""
    return [(pattern, answer)] * 50


def _is_large(name: str) -> bool:
    return name.endswith(LARGE)


def _commit(files: Mapping[str, bytes]) -> str:
    return hashlib.sha1(b"".join(name.encode() + content for name, content in sorted(files.items()))).hexdigest()


def _git_hash(content: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = {"type": "file", "path": name, "size": len(content), "oid": _git_hash(content)}
    if _is_large(name):
        sha256 = hashlib.sha256(content).hexdigest()
        entry["lfs"] = {"oid": sha256, "size": len(content), "pointerSize": 134}
    return entry


def _json(value: Any) -> Answer:
    return Answer(200, {"Content-Type": "application/json"}, json.dumps(value).encode())


def _handler_of(
    requests: list[str], seen: list[dict[str, str]], answer: Callable[[str, Mapping[str, str]], Answer]
) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            path = urlsplit(self.path).path
            headers = {name.lower(): value for name, value in self.headers.items()}
            requests.append(f"{self.command} {path}")
            seen.append(headers)
            given = answer(path, headers)
            self.send_response(given.status)
            for name, value in {"Content-Length": str(len(given.body)), **given.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(given.body)
                # A body that is shorter than announced ends with the connection.
                self.close_connection = int(given.headers.get("Content-Length", 0)) > len(given.body)

        do_HEAD = do_GET

        def log_message(self, *arguments: object) -> None:
            pass

    return Handler
