"""What a careful proxy would refuse is refused; `Upgrade` is ignored, and the body of such a request is its body."""

import itertools

import httptools
import pytest

from service.process.http_parser import RequestParser, UnacceptableRequest

HEAD = b"POST /qa HTTP/1.1\r\nHost: here\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: here\r\n\r\n"
NEXT = b"GET /next HTTP/1.1\r\nHost: here\r\n\r\n"


class Heard:
    """Keeps method, target and body of every request."""

    def __init__(self) -> None:
        self.parser = RequestParser(self)
        self.requests: list[list[bytes]] = []
        self.hosts: list[bytes] = []
        self.ended = 0

    def on_message_begin(self) -> None:
        self.requests.append([b"", b"", b""])

    def on_url(self, url: bytes) -> None:
        self.requests[-1][1] += url

    def on_header(self, name: bytes, value: bytes) -> None:
        if name.lower() == b"host":
            self.hosts.append(value)

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


@pytest.mark.parametrize(
    ("head", "named"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", "Host"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", "Host"),
        (b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", "HTTP/1.1"),
        (b"GET / HTTP/0.9\r\nHost: a\r\n\r\n", "HTTP/1.1"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", "chunked"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: xchunked\r\n\r\n", "chunked"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", "chunked"),
        (HEAD + b"Transfer-Encoding: xchunked\r\n\r\n", "chunked"),
    ],
    ids=[
        "no host",
        "two hosts",
        "the same host twice",
        "two hosts in HTTP/1.0",
        "HTTP/2.0",
        "HTTP/0.9",
        "two codings",
        "an unknown coding",
        "two codings in two lines",
        "chunks in HTTP/1.0",
        "an unknown coding beside an upgrade",
    ],
)
def test_what_proxies_refuse_is_refused_before_the_body(head: bytes, named: str) -> None:
    heard = Heard()
    with pytest.raises(UnacceptableRequest, match=named):
        heard.parser.feed_data(head)
    # Nobody has heard of a complete head.
    assert heard.requests[0][0] == b""


@pytest.mark.parametrize(
    ("head", "host"),
    [
        (b"GET /a HTTP/1.1\r\nHost: here:80\r\n\r\n", [b"here:80"]),
        (b"GET http://there:81/a?b=http://c HTTP/1.1\r\nHost: here\r\n\r\n", [b"there:81"]),
        (b"GET http://user@[::1]/a HTTP/1.1\r\nHost: here\r\n\r\n", [b"[::1]"]),
        (b"GET /a?b=http://c HTTP/1.1\r\nHost: here\r\n\r\n", [b"here"]),
        (b"GET /a HTTP/1.0\r\n\r\n", []),
        (b"POST /a HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n", [b"here"]),
    ],
    ids=["a path", "the absolute form", "an address", "a URL in a query", "HTTP/1.0 needs none", "chunks"],
)
def test_the_host_is_whom_the_request_is_addressed_to(head: bytes, host: list[bytes]) -> None:
    heard = Heard()
    heard.parser.feed_data(head)
    assert heard.hosts == host
