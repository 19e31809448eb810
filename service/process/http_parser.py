"""httptools' parser, stricter about what a request must have, and with `Upgrade` as a header like any other.

A proxy and a server that read a request differently can be played off against each other. So what a careful proxy
refuses is refused here, too: other versions than HTTP/1.1 and 1.0, no `Host` or several, transfer codings beside
`chunked`. Behind that, `Host` is whom the request is addressed to, whichever form its target has (RFC 9112, 3.2.2).

This server upgrades to nothing, so RFC 9110 (section 7.8) lets it ignore the header, which several HTTP clients send by
default (`h2c`). httptools stops at the end of such a request's head and takes what follows for the next request: its
body would be lost, or be answered as a request of its own. Here the body is read by a second parser, which is given
the same framing without the upgrade.
"""

from typing import Any, Protocol

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")
_VERSIONS = ("1.1", "1.0")


class ParserCallbacks(Protocol):
    """What hears of a request's parts, in their order."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class UnacceptableRequest(httptools.HttpParserError):
    """A request's head is HTTP, but not such as is served here; the message is for the client."""


class RequestParser:
    """Takes the place of `httptools.HttpRequestParser`.

    Args:
        callbacks: Hears what is found.
    """

    def __init__(self, callbacks: ParserCallbacks) -> None:
        self._callbacks = callbacks
        self._in_head = False
        self._target = b""
        self._hosts: list[bytes] = []
        self._framing: list[tuple[bytes, bytes]] = []
        self._replaying = False
        self._upgrades = False
        self._tunnel = False
        self._parser: Any = self._new_parser()

    def feed_data(self, data: bytes) -> None:
        """Parse what has arrived.

        Raises:
            UnacceptableRequest: It is not served here.
            httptools.HttpParserError: It is not HTTP.
        """
        while not self._tunnel:
            try:
                self._parser.feed_data(data)
                return
            except httptools.HttpParserUpgrade as upgrade:
                data = bytes(data)[upgrade.args[0] :]
                # What follows a CONNECT belongs to no request; there is no tunnel here that it could go through.
                self._tunnel = self._parser.get_method() == b"CONNECT"
                self._read_body_without_upgrade()
            except httptools.HttpParserCallbackError as error:
                raise (error.__context__ if isinstance(error.__context__, UnacceptableRequest) else error) from None

    def get_http_version(self) -> str:
        return str(self._parser.get_http_version())

    def get_method(self) -> bytes:
        return bytes(self._parser.get_method())

    def should_keep_alive(self) -> bool:
        return bool(self._parser.should_keep_alive()) and self.get_method() != b"CONNECT"

    def should_upgrade(self) -> bool:
        return False

    # What httptools finds.

    def on_message_begin(self) -> None:
        if not self._replaying:
            self._in_head = True
            self._target = b""
            self._hosts.clear()
            self._framing.clear()
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._replaying:
            self._target += url
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Hold `Host` back until it is known whether it is the only one, and what the target says."""
        if self._replaying:
            return
        if self._in_head and name.lower() == b"host":
            self._hosts.append(value)
            return
        if self._in_head and name.lower() in _FRAMING:
            self._framing.append((name, value))
        self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if self._replaying:
            return
        self._in_head = False
        self._upgrades = bool(self._parser.should_upgrade())
        self._refuse_the_unacceptable()
        host = self._authority() or b"".join(self._hosts)
        if host or self._hosts:
            self._callbacks.on_header(b"Host", host)
        self._callbacks.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._callbacks.on_body(body)

    def on_message_complete(self) -> None:
        # With an upgrade it is the end of the head that is called complete.
        if not self._upgrades:
            self._callbacks.on_message_complete()

    def _refuse_the_unacceptable(self) -> None:
        version = self.get_http_version()
        if version not in _VERSIONS:
            raise UnacceptableRequest("This server speaks HTTP/1.1 and HTTP/1.0; send one of them.")
        if len(self._hosts) > 1:
            raise UnacceptableRequest("The request has several Host headers; send one.")
        if not self._hosts and version == "1.1":
            raise UnacceptableRequest("The request has no Host header; send one.")
        codings = [value.strip().lower() for name, value in self._framing if name.lower() == b"transfer-encoding"]
        if codings and (codings != [b"chunked"] or version != "1.1"):
            raise UnacceptableRequest(
                "The only transfer coding that is known here is `chunked`, in HTTP/1.1; send that or Content-Length."
            )

    def _authority(self) -> bytes:
        """Return host and port of a target in absolute form; empty if it has another one."""
        if b"://" not in self._target.partition(b"?")[0] or self._target.startswith(b"/"):
            return b""
        target = httptools.parse_url(self._target)
        host = target.host or b""
        host = b"[" + host + b"]" if b":" in host else host
        return host if target.port is None else host + b":%d" % target.port

    def _new_parser(self) -> Any:
        parser = httptools.HttpRequestParser(self)
        # As uvicorn's own: what comes after a request that closes is not an error of that request.
        parser.set_dangerous_leniencies(lenient_data_after_close=True)
        return parser

    def _read_body_without_upgrade(self) -> None:
        self._upgrades = False
        self._parser = self._new_parser()
        lines = [name + b": " + value + b"\r\n" for name, value in self._framing]
        self._replaying = True
        try:
            self._parser.feed_data(b"".join([b"POST / HTTP/1.1\r\n", *lines, b"\r\n"]))
        finally:
            self._replaying = False
