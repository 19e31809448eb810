"""What is known about one request: one typed object that it carries, and that metrics, log and trace are made of.

The outermost middleware makes it and finishes it; the route notes the model, inference what becomes of each document.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from service.batching.bucket_queue import InferenceResult
from service.telemetry.stages import StageClock

UNMATCHED = "unmatched"
"""The endpoint of requests that no route answers."""
Dialect = Literal["native", "huggingface", "openai", "tei", "rerank", "open_inference"]
"""In whose terms a request is. `native`, the service's own, is also what is not known to be in others'."""


@dataclass(slots=True)
class ItemRecord:
    """One document of a request, from the acceptance of its windows on.

    Attributes:
        bucket: Padded length that its longest window needs.
        accepted_at: When its windows had been accepted.
        stages: Its way, from the end of parsing on.
        windows: How many it has; over all steps, where its answer is built in steps.
        tokens: What the model reads of it, special tokens included, padding not.
        buckets: Padded lengths in which its windows ran.
        answered: Whether its answer was made.
    """

    bucket: int
    accepted_at: float
    stages: StageClock
    windows: int
    tokens: int
    buckets: set[int] = field(default_factory=set)
    answered: bool = False

    def ran(self, results: Sequence[InferenceResult]) -> None:
        """Note the runs of a step's windows; the step's way is that of the window whose outputs came last."""
        last = max(results, key=lambda result: result.finished_at)
        collated_at = last.finished_at - last.inference_seconds
        started_at = collated_at - last.collate_seconds
        # What lies before a later step is the decoding that asked for it.
        self.stages.until("decode" if self.buckets else "tokenise", started_at - last.queue_seconds)
        self.stages.until("queue", started_at)
        self.stages.until("collate", collated_at)
        self.stages.until("inference", last.finished_at)
        self.buckets |= {result.bucket for result in results}

    def continued(self, windows: int, tokens: int) -> None:
        """Note a further step."""
        self.windows += windows
        self.tokens += tokens

    def decoded(self, at: float) -> None:
        """Note that the answer was made."""
        self.stages.until("decode", at)
        self.answered = True


@dataclass(slots=True)
class RequestRecord:
    """One request.

    Attributes:
        request_id: From its header, or made.
        method: The HTTP method, or `other`.
        arrived_at: On the service's clock, in seconds.
        endpoint: The route's path, or `unmatched`.
        dialect: In whose terms it was asked: `Dialect` tells them.
        key: The name of the caller's key, or None without a known one.
        model: The chosen model, or empty before one is.
        status: HTTP status of the answer; 0 before there is one.
        refused: Why it was not accepted, where the server's state was the reason.
        items: Its documents, once their windows were accepted.
        stages: Its way; from the acceptance on, that of the document that ended last.
        ended_at: When the last byte of its answer had been handed to the server.
        trace_id: Of the trace that it belongs to, 32 hexadecimal digits, if it is traced.
        span: The tracer's own.
    """

    request_id: str
    method: str
    arrived_at: float
    endpoint: str = ""
    dialect: Dialect = "native"
    key: str | None = None
    model: str = ""
    status: int = 0
    refused: str | None = None
    items: list[ItemRecord] = field(default_factory=list)
    stages: StageClock = field(init=False)
    ended_at: float = 0.0
    trace_id: str | None = None
    span: Any = None

    def __post_init__(self) -> None:
        self.stages = StageClock(self.arrived_at)

    def accepted(self, bucket: int, windows: int, tokens: int, at: float) -> ItemRecord:
        """Note that a document's windows were accepted."""
        item = ItemRecord(bucket, at, self.stages.fork(), windows, tokens)
        self.items.append(item)
        return item

    def finish(self, endpoint: str, status: int, at: float) -> None:
        """Note the end; the stages are those that the request has passed."""
        self.endpoint = endpoint
        self.status = status
        self.ended_at = at
        if not self.items:
            return
        for item in self.items:
            if not item.buckets:
                item.stages.until("tokenise", item.accepted_at)
        self.stages.join(max(self.items, key=lambda item: item.stages.end).stages)
        if self.answered:
            self.stages.until("respond", at)

    @property
    def answered(self) -> bool:
        """Whether the answers of all its documents were sent."""
        return self.status == 200 and bool(self.items) and all(item.answered for item in self.items)

    @property
    def seconds(self) -> float:
        """From the arrival to the end of the answer."""
        return self.ended_at - self.arrived_at

    @property
    def buckets(self) -> list[int]:
        """Padded lengths in which its windows ran, each once; those that they need, where none ran."""
        ran = {bucket for item in self.items for bucket in item.buckets}
        return sorted(ran or {item.bucket for item in self.items})
