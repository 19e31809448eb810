"""httptools' parser, for which `Upgrade` is a header like any other.

This server upgrades to nothing, so RFC 9110 (section 7.8) lets it ignore the header, which several HTTP clients send by
default (`h2c`). httptools stops at the end of such a request's head and takes what follows for the next request: its
body would be lost, or be answered as a request of its own. Here the body is read by a second parser, which is given
the same framing without the upgrade.
"""

from typing import Any, Protocol

import httptools

_FRAMING = (b"content-length", b"transfer-encoding")


class ParserCallbacks(Protocol):
    """What hears of a request's parts, in their order."""

    def on_message_begin(self) -> None: ...
    def on_url(self, url: bytes) -> None: ...
    def on_header(self, name: bytes, value: bytes) -> None: ...
    def on_headers_complete(self) -> None: ...
    def on_body(self, body: bytes) -> None: ...
    def on_message_complete(self) -> None: ...


class UpgradeBlindParser:
    """Takes the place of `httptools.HttpRequestParser`.

    Args:
        callbacks: Hears what is found.
    """

    def __init__(self, callbacks: ParserCallbacks) -> None:
        self._callbacks = callbacks
        self._framing: list[tuple[bytes, bytes]] = []
        self._replaying = False
        self._upgrades = False
        self._tunnel = False
        self._parser: Any = self._new_parser()

    def feed_data(self, data: bytes) -> None:
        """Parse what has arrived.

        Raises:
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
            self._framing.clear()
            self._callbacks.on_message_begin()

    def on_url(self, url: bytes) -> None:
        if not self._replaying:
            self._callbacks.on_url(url)

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._replaying:
            if name.lower() in _FRAMING:
                self._framing.append((name, value))
            self._callbacks.on_header(name, value)

    def on_headers_complete(self) -> None:
        if not self._replaying:
            self._upgrades = bool(self._parser.should_upgrade())
            self._callbacks.on_headers_complete()

    def on_body(self, body: bytes) -> None:
        self._callbacks.on_body(body)

    def on_message_complete(self) -> None:
        # With an upgrade it is the end of the head that is called complete.
        if not self._upgrades:
            self._callbacks.on_message_complete()

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
