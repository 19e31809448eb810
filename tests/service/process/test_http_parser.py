"""`Upgrade` is ignored, and the body of such a request is its body, wherever the segments end."""

import itertools

import httptools
import pytest

from service.process.http_parser import UpgradeBlindParser

HEAD = b"POST /qa HTTP/1.1\r\nHost: here\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: here\r\n\r\n"


class Heard:
    """Keeps method, target and body of every request."""

    def __init__(self) -> None:
        self.parser = UpgradeBlindParser(self)
        self.requests: list[list[bytes]] = []
        self.ended = 0

    def on_message_begin(self) -> None:
        self.requests.append([b"", b"", b""])

    def on_url(self, url: bytes) -> None:
        self.requests[-1][1] += url

    def on_header(self, name: bytes, value: bytes) -> None: ...

    def on_headers_complete(self) -> None:
        assert not self.parser.should_upgrade()
        self.requests[-1][0] = self.parser.get_method()

    def on_body(self, body: bytes) -> None:
        self.requests[-1][2] += body

    def on_message_complete(self) -> None:
        self.ended += 1


def segments(data: bytes, cuts: tuple[int, ...]) -> list[bytes]:
    edges = [0, *cuts, len(data)]
    return [data[start:end] for start, end in itertools.pairwise(edges)]


@pytest.mark.parametrize(
    ("framing", "body", "sent"),
    [
        pytest.param(b"Content-Length: %d\r\n" % len(SMUGGLED), SMUGGLED, SMUGGLED, id="a body like a request"),
        pytest.param(
            b"Transfer-Encoding: chunked\r\n",
            SMUGGLED,
            b"%x\r\n%s\r\n0\r\n\r\n" % (len(SMUGGLED), SMUGGLED),
            id="the same in chunks",
        ),
        pytest.param(b"Content-Length: 0\r\n", b"", b"", id="an empty body"),
        pytest.param(b"", b"", b"", id="no body"),
    ],
)
def test_a_body_is_never_taken_for_a_request(framing: bytes, body: bytes, sent: bytes) -> None:
    data = HEAD + framing + b"\r\n" + sent + NEXT
    expected = [[b"POST", b"/qa", body], [b"GET", b"/next", b""]]
    cuts = [(), *((cut,) for cut in range(1, len(data)))]
    cuts.append(tuple(range(1, len(data))))  # byte by byte
    for cut in cuts:
        heard = Heard()
        for part in segments(data, cut):
            heard.parser.feed_data(part)
        assert (heard.requests, heard.ended) == (expected, 2), cut


def test_what_follows_a_connect_is_no_request() -> None:
    heard = Heard()
    heard.parser.feed_data(b"CONNECT here:80 HTTP/1.1\r\nHost: here\r\n\r\n" + SMUGGLED)
    heard.parser.feed_data(NEXT)
    assert [request[:2] for request in heard.requests] == [[b"CONNECT", b"here:80"]]


def test_contradicting_framing_is_refused_with_an_upgrade_too() -> None:
    data = HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
    with pytest.raises(httptools.HttpParserError):
        Heard().parser.feed_data(data + b"0\r\n\r\n")
