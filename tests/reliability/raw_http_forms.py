"""What a broken, old, foreign or hostile client may write into a connection, drawn from a seed.

Each form returns an `Attempt`: bytes, and what is known beforehand about the answers that they may get.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from random import Random

PATHS = ("/qa", "/classify", "/ner", "/embed", "/fill-mask", "/next-sentence", "/multiple-choice", "/generate")
OPEN_PATHS = ("/health/live", "/health/ready", "/v1/models", "/metrics", "/docs", "/openapi.json", "/")
GOOD_BODY = json.dumps({"text": "Maria Okafor signed for Halden Works in Bergen."}).encode()


@dataclass(frozen=True, slots=True)
class Attempt:
    """Bytes for one connection.

    Attributes:
        payload: What is written.
        statuses: Which answers must come, in order, where that is known.
        most_answers: How many answers may come: more would mean that the body was taken for a request.
        complete: Whether an answer can be expected; without one the client closes its side at once.
        reset: Whether the client goes without reading anything.
        cut: Where a first segment ends, if the bytes go in two.
    """

    payload: bytes
    statuses: tuple[int, ...] | None = None
    most_answers: int | None = None
    complete: bool = True
    reset: bool = False
    cut: int | None = None


def request(
    method: bytes = b"POST",
    target: bytes = b"/ner",
    headers: tuple[bytes, ...] = (),
    body: bytes = GOOD_BODY,
    version: bytes = b"HTTP/1.1",
    length: bool = True,
) -> bytes:
    """Write a request; it is a good one unless told otherwise."""
    lines = [method + b" " + target + b" " + version, b"Host: localhost", b"Content-Type: application/json", *headers]
    if length:
        lines.append(b"Content-Length: %d" % len(body))
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def broken_request_line(random: Random) -> Attempt:
    method = random.choice(
        [b"POST", b"post", b"P\x00ST", b"", b"GET " * 3, b"X" * random.randrange(9000), b"\xff", b"PRI"]
    )
    version = random.choice(
        [b"HTTP/0.9", b"HTTP/1.0", b"HTTP/1.10", b"HTTP/2.0", b"HTTP/9.9", b"http/1.1", b"HTTP/1.1 x", b"", b"ICE/1.0"]
    )
    target = random.choice([b"/ner", b"", b" /ner", b"ner", b"/" * random.randrange(1, 9000), b"/\x00", b"/\xc3\xa9"])
    line = random.choice([b" ", b"  ", b"\t", b""]).join((method, target, version))
    end = random.choice([b"\r\n\r\n", b"\n\n", b"\r\r", b"\r\n", b"\n\r\n", b"\r\nHost: localhost\r\n\r\n", b""])
    return Attempt(random.choice([b"", b"\r\n", b"\r\n" * 50, b" "]) + line + end, complete=end.endswith(b"\n\r\n"))


def strange_target(random: Random) -> Attempt:
    part = random.choice(
        [
            b"%2e%2e%2f", b"%00", b"%", b"%zz", b"%ff%fe", b"../", b"..\\", b"//", b"%2f", b";a=b", b"#x", b"?", b"*",
            b"[", b"{}", b"|", b"%c0%af", b"%u0041", b"\xc3\xa9", b"~", b"@", b":", b"%0d%0aX:1", b"%09", b"+",
            b"&" * 999,
        ]
    )  # fmt: skip
    base = random.choice(
        [path.encode() for path in (*PATHS, *OPEN_PATHS, "/docs/assets/", "/v1/models/small-ner/load")]
    )
    target = random.choice([base + part, part + base, base + part * random.randrange(1, 40), base + b"?" + part * 3])
    prefix = random.choice(
        [b"", b"", b"", b"http://a", b"https://a:99", b"HTTP://", b"//a", b"http://a@b:c", b"file://", b"a:443"]
    )
    method = random.choice([b"GET", b"POST", b"HEAD", b"OPTIONS", b"CONNECT", b"TRACE", b"PUT", b"DELETE", b"PATCH"])
    return Attempt(request(method, prefix + target, body=b""))


def header_soup(random: Random) -> Attempt:
    names = [
        b"Accept", b"Authorization", b"Content-Type", b"Cookie", b"Expect", b"Host", b"If-Modified-Since", b"Origin",
        b"If-None-Match", b"Range", b"X-Request-Id", b"X-Forwarded-For", b"traceparent", b"Connection", b"Forwarded",
        b"Access-Control-Request-Method", b"Content-Encoding", b"Accept-Encoding", b"Content-Length", b"Date", b"TE",
    ]  # fmt: skip
    values = [
        b"", b"*", b"a" * random.randrange(70_000), b";" * random.randrange(20_000), b"=" * 99, b"\xff\xfe", b"\x00",
        b"bytes=0-0,0-0,-1,9-,a-b", b"bytes=" + b"0-," * random.randrange(5000), b"Bearer " + b"\xe9" * 50,
        b"Basic ===",
        b"application/openmetrics-text; version=x", b"text/plain;version=1.0.0.a,*/*;q=z", b"100-continue",
        b"close, \x01",
        b"application/json; charset*=utf-8''%ff", b'application/json; charset="', b"application/json;;;;",
        b"gzip, deflate",
        b"Thu, 99 Foo 9999 99:99:99 GMT", b"00-" + b"0" * 32 + b"-" + b"0" * 16 + b"-zz",
        b"a=b; $Path=\\; c=\"\\777\"", b"-1",
        b"Mon, 0", b"W/\"" + b"," * 999, b"NaN", b"1e99", b"keep-alive, upgrade", b"\"" * 333, b"null", b"10, 10",
    ]  # fmt: skip
    strange = [
        b"no colon", b" : leading", b"Name : space", b":empty", b"X: a\r\n folded", b"X\x00: a", b"X: a\x00",
        b"X: a\rb",
        b"X\xff: a", b"(comment): a", b"\tX: a", b"X: a\n\tb", b"X:" + b"\t" * 5000,
        b"A" * random.randrange(70_000) + b": a",
    ]  # fmt: skip
    headers = [random.choice(names) + b": " + random.choice(values) for _ in range(random.randrange(1, 5))]
    if random.random() < 0.3:
        headers.append(random.choice(strange))
    if random.random() < 0.05:
        headers += [b"X-%d: a" % number for number in range(random.randrange(2000))]
    random.shuffle(headers)
    target = random.choice([*PATHS, *OPEN_PATHS, "/docs/assets/swagger-ui.css", "/nothing"]).encode()
    method = b"POST" if target.decode() in PATHS else random.choice([b"GET", b"HEAD"])
    body = GOOD_BODY if method == b"POST" else b""
    return Attempt(request(method, target, tuple(headers), body), complete=True)


def wrong_length(random: Random) -> Attempt:
    value = random.choice(
        [
            b"-1",
            b"+5",
            b"5,5",
            b"5, 6",
            b"0x10",
            b"1e3",
            b"5 5",
            b"",
            b" ",
            b"five",
            b"9" * 30,
            b"00005",
            b"\xb2",
            b"4294967297",
        ]
    )
    lines = (b"Content-Length: " + value,)
    if random.random() < 0.3:
        lines = (b"Content-Length: 5", b"Content-Length: 6")
    return Attempt(request(headers=lines, length=random.random() < 0.3), complete=False)


def body_that_does_not_fit(random: Random) -> Attempt:
    announced = len(GOOD_BODY) + random.choice([-20, -1, 1, 1000, 20_000_000])
    sent = request(headers=(b"Content-Length: %d" % announced,), length=False)
    return Attempt(sent, complete=announced < len(GOOD_BODY))


def _chunk(data: bytes, size: bytes | None = None, extension: bytes = b"") -> bytes:
    return (b"%x" % len(data) if size is None else size) + extension + b"\r\n" + data + b"\r\n"


def chunked_body(random: Random) -> Attempt:
    cut = random.randrange(1, len(GOOD_BODY))
    first, second = GOOD_BODY[:cut], GOOD_BODY[cut:]
    sizes = [
        None,
        None,
        b"-1",
        b"0x5",
        b"5 ",
        b" 5",
        b"g",
        b"",
        b"ffffffffffffffff",
        b"1" * 40,
        b"0",
        b"%d" % cut,
        b"\x00",
    ]
    extension = random.choice([b"", b"", b";a", b";a=b", b';a="\r\n"', b";" * 5000, b"; \xff", b";a=\x00"])
    last = random.choice(
        [b"0\r\n\r\n", b"0\r\n\r\n", b"0\r\nX: a\r\n\r\n", b"0\r\n: a\r\n\r\n", b"", b"0\r\n", b"0", b"00000\r\n\r\n"]
    )
    body = _chunk(first, random.choice(sizes), extension) + _chunk(second) + last
    coding = random.choice(
        [b"chunked", b"chunked", b"Chunked", b"gzip, chunked", b"chunked, identity", b"xchunked", b"\x0bchunked"]
    )
    return Attempt(
        request(headers=(b"Transfer-Encoding: " + coding,), body=body, length=False), complete=last[-2:] == b"\r\n"
    )


def smuggled_request(random: Random) -> Attempt:
    """Two lengths for one body: whichever a proxy believed, what follows must not be answered as another request."""
    hidden = b"GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n"
    forms = [
        (b"Content-Length: %d" % len(hidden), b"Transfer-Encoding: chunked"),
        (b"Transfer-Encoding: chunked", b"Content-Length: 4"),
        (b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity", b"Content-Length: 4"),
        (b"Transfer-Encoding : chunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: \x0bchunked", b"Content-Length: 5"),
        (b"Transfer-Encoding: xchunked", b"Content-Length: 5"),
        (b"X: a\r\n Transfer-Encoding: chunked", b"Content-Length: 5"),
        (b"Content-Length: 5", b"Content-Length: %d" % (5 + len(hidden))),
        (b"Content-Length: 5, %d" % (5 + len(hidden)),),
    ]
    body = b"0\r\n\r\n" + hidden
    return Attempt(request(headers=random.choice(forms), body=body, length=False), most_answers=1)


def pipelined(random: Random) -> Attempt:
    """Requests one behind the other must be answered one after the other."""
    statuses, payload = [], b""
    for _ in range(random.randrange(1, 12)):
        part, status = random.choice(
            [
                (request(), 200),
                (request(b"GET", b"/health/live", body=b""), 200),
                (request(b"GET", b"/nothing", body=b""), 404),
                (request(b"PUT", b"/qa", body=b"x"), 405),
                (request(body=b"{"), 400),
                (request(body=b'{"text": 5}'), 422),
                (request(headers=(b"Content-Encoding: gzip",)), 415),
            ]
        )
        payload += part
        statuses.append(status)
    if random.random() < 0.3:
        payload += random.choice([b"\x00\x01\x02", b"GET\r\n\r\n", b"\xff" * 100])
        return Attempt(payload, most_answers=len(statuses) + 1)
    return Attempt(payload, tuple(statuses))


def another_protocol(random: Random) -> Attempt:
    openings = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + random.randbytes(200),
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"PROXY TCP4 1.2.3.4 5.6.7.8 1 2\r\nGET / HTTP/1.1\r\n\r\n",
        b"*1\r\n$4\r\nPING\r\n",
        b"EHLO a\r\n",
        b"\x00" * random.randrange(1, 5000),
        b"\r\n" * random.randrange(1, 5000),
        b"<policy-file-request/>\x00",
        random.randbytes(random.randrange(1, 3000)),
    ]
    return Attempt(random.choice(openings), complete=False)


def upgrade(random: Random) -> Attempt:
    protocol = random.choice([b"websocket", b"h2c", b"TLS/1.0", b"", b"\xff", b"a, b, websocket"])
    headers: tuple[bytes, ...] = (
        b"Connection: " + random.choice([b"Upgrade", b"upgrade, HTTP2-Settings", b"keep-alive, Upgrade", b"close"]),
        b"Upgrade: " + protocol,
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        b"Sec-WebSocket-Version: 13",
        b"HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA",
    )
    if random.random() < 0.5:
        # The header is ignored: the body is read, and never taken for a request.
        body = random.choice([GOOD_BODY, GOOD_BODY + b" " * 70_000])
        payload = request(headers=headers, body=body)
        cut = random.choice([None, len(payload) - len(body), random.randrange(1, len(payload))])
        return Attempt(payload, statuses=(200,), most_answers=1, cut=cut)
    return Attempt(request(b"GET", random.choice([b"/qa", b"/health/live", b"/"]), headers, b"") + b"\x81\x05hello")


def refused_at_once(random: Random) -> Attempt:
    """What proxies refuse, and bodies that turn out not to be HTTP: one answer, without waiting for more."""
    chunks = (b"Transfer-Encoding: chunked",)
    whole = _chunk(GOOD_BODY)
    payload = random.choice(
        [
            b"GET /health/live HTTP/1.1\r\n\r\n",
            request(headers=(b"Host: localhost",)),
            request(headers=(b"host: b",)),
            request(headers=(b"Host: localhost.example",)).replace(b"Host: localhost\r\n", b""),
            request(target=b"http://a.example/ner"),
            request(version=b"HTTP/2.0"),
            request(version=b"HTTP/0.9"),
            request(headers=(b"Transfer-Encoding: gzip, chunked",), body=whole + b"0\r\n\r\n", length=False),
            request(headers=(b"Transfer-Encoding: xchunked",), body=whole + b"0\r\n\r\n", length=False),
            request(headers=chunks, body=whole + b"0\r\n\r\n", length=False, version=b"HTTP/1.0"),
            request(headers=chunks, body=whole + b"zz\r\n", length=False),
            request(headers=chunks, body=whole + b"0\r\nContent-Length: 5\r\n\r\n", length=False),
            request(headers=chunks, body=_chunk(GOOD_BODY, b"5"), length=False),
        ]
    )
    return Attempt(payload, statuses=(400,), cut=random.choice([None, random.randrange(1, len(payload))]))


def mutated(random: Random) -> Attempt:
    """A good request in which some bytes are others, missing or doubled."""
    payload = bytearray(request(target=random.choice(PATHS).encode()))
    for _ in range(random.randrange(1, 6)):
        place = random.randrange(len(payload))
        change = random.randrange(4)
        if change == 0:
            payload[place] = random.randrange(256)
        elif change == 1:
            del payload[place : place + random.randrange(1, 10)]
        elif change == 2:
            payload[place:place] = random.randbytes(random.randrange(1, 4))
        else:
            payload[place:place] = payload[place : place + random.randrange(1, 60)]
    return Attempt(bytes(payload))


def cut_off(random: Random) -> Attempt:
    """A good request that ends anywhere, with or without a farewell."""
    whole = request()
    return Attempt(whole[: random.randrange(len(whole))], complete=False, reset=random.random() < 0.5)


FORMS: tuple[Callable[[Random], Attempt], ...] = (
    broken_request_line,
    strange_target,
    header_soup,
    wrong_length,
    body_that_does_not_fit,
    chunked_body,
    smuggled_request,
    pipelined,
    another_protocol,
    upgrade,
    refused_at_once,
    mutated,
    cut_off,
)
