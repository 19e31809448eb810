"""The mixed requests of a load run: what each of them asks, and what is wrong with it on purpose.

Everything depends on the number of requests and a seed: every client process makes the same plan and takes its share.
"""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import NormalDist
from typing import Any, Literal

import numpy as np

from demo.reports import FIRST_EVALUATION_SEED, generate_report

Kind = Literal["plain", "list", "malformed", "disconnecting", "hurried"]
Departure = Literal["in the headers", "in the body", "after sending", "while reading"]

PATHS = ("/qa", "/classify", "/ner")
DEPARTURES: tuple[Departure, ...] = ("in the headers", "in the body", "after sending", "while reading")
SHARES: Mapping[Kind, float] = {"malformed": 0.02, "disconnecting": 0.02, "hurried": 0.02, "list": 0.04, "plain": 0.9}
MEDIAN_TOKENS = 150
SIGMA = 1.0
LONGEST_TOKENS = 20_000
MOST_DOCUMENTS = 4000
SEED = 7
# The generator's stock of names is not larger; longer documents are several reports.
_LONGEST_REPORT = 1500
_FEWEST_TOKENS = 50
_SHORTEST_TOKENS = 8
_QUESTION = "Who leads the project?"


@dataclass(frozen=True, slots=True)
class Document:
    """A document and a question about it, as JSON strings."""

    text: str
    question: str


@dataclass(frozen=True, slots=True)
class PlannedRequest:
    """A request to be sent.

    Attributes:
        number: Which one it is.
        kind: What is special about it.
        method: Its HTTP method.
        path: Where it goes.
        body: Its bytes.
        content_type: What it says they are.
        departure: When its client leaves, if it does.
        share: How far it has come by then, 0 to 1.
    """

    number: int
    kind: Kind
    method: str
    path: str
    body: bytes
    content_type: str = "application/json"
    departure: Departure | None = None
    share: float = 0.0

    @property
    def request_id(self) -> str:
        return f"load-{self.number}"


def document_tokens(count: int) -> list[int]:
    """Return lengths whose distribution is log-normal, ascending; the longest are as long as documents get."""
    lengths = [
        MEDIAN_TOKENS * float(np.exp(SIGMA * NormalDist().inv_cdf((rank + 0.5) / count))) for rank in range(count)
    ]
    longest = max(1, count // 2000)
    lengths[-longest:] = [LONGEST_TOKENS] * longest
    return [round(min(max(length, _SHORTEST_TOKENS), LONGEST_TOKENS)) for length in lengths]


def make_document(number: int, tokens: int) -> Document:
    """Return a report of about so many tokens, or several of them."""
    texts: list[str] = []
    question = _QUESTION
    while tokens > 0:
        part = min(tokens, _LONGEST_REPORT)
        report = generate_report(FIRST_EVALUATION_SEED + 1000 * number + len(texts), max(part, _FEWEST_TOKENS))
        # A word is little more than a token here.
        texts.append(report.text if part >= _FEWEST_TOKENS else " ".join(report.text.split()[:part]))
        question = report.questions[0].text if report.questions else question
        tokens -= part
    return Document(json.dumps("\n\n".join(texts)), json.dumps(question))


@dataclass(frozen=True)
class Traffic:
    """All requests of a run.

    Attributes:
        requests: How many.
    """

    requests: int

    @cached_property
    def documents(self) -> Sequence[Document]:
        count = min(self.requests, MOST_DOCUMENTS)
        return [make_document(number, tokens) for number, tokens in enumerate(document_tokens(count))]

    @cached_property
    def _order(self) -> list[int]:
        order = list(range(self.requests))
        random.Random(SEED).shuffle(order)
        return order

    def request(self, number: int) -> PlannedRequest:
        """Return one of them."""
        rng = random.Random(SEED * 1_000_003 + number)
        kind = rng.choices(list(SHARES), list(SHARES.values()))[0]
        path = rng.choice(PATHS)
        document = self._document(number)
        if kind == "malformed":
            return self._malformed(number, path, document, rng)
        fields = "" if kind != "hurried" else f', "timeout_ms": {rng.choice((1, 2, 3, 5, 10))}'
        texts = document.text
        if kind == "list":
            others = [self._document(rng.randrange(self.requests)).text for _ in range(rng.randint(1, 3))]
            texts = f"[{', '.join([document.text, *others])}]"
        departure = rng.choice(DEPARTURES) if kind == "disconnecting" else None
        body = request_body(path, texts, document.question, fields)
        return PlannedRequest(number, kind, "POST", path, body, departure=departure, share=rng.random())

    def _document(self, number: int) -> Document:
        return self.documents[self._order[number] % len(self.documents)]

    def _malformed(self, number: int, path: str, document: Document, rng: random.Random) -> PlannedRequest:
        good = request_body(path, document.text, document.question)

        def request(body: bytes, **changes: Any) -> PlannedRequest:
            return PlannedRequest(number, "malformed", **{"method": "POST", "path": path, **changes}, body=body)

        return rng.choice(
            [
                lambda: request(good[:-1]),
                lambda: request(b"\xff" + good),
                lambda: request(b""),
                lambda: request(b"{}"),
                lambda: request(good, content_type="text/plain"),
                lambda: request(good, path="/nowhere"),
                lambda: request(b"", method="GET"),
                lambda: request(request_body(path, '" "', document.question)),
                lambda: request(request_body(path, "7", document.question)),
                lambda: request(request_body(path, json.dumps("a" * 200_001), document.question)),
                lambda: request(request_body(path, document.text, document.question, ', "model": "none such"')),
                lambda: request(request_body(path, document.text, document.question, ', "timeout_ms": -1')),
            ]
        )()


def request_body(path: str, texts: str, question: str, fields: str = "") -> bytes:
    """Return a body for a task from JSON values."""
    if path == "/qa":
        return f'{{"question": {question}, "context": {texts}{fields}}}'.encode()
    return f'{{"text": {texts}{fields}}}'.encode()
