"""The errors that domain code raises, as one tree; HTTP adds its own (unknown path, wrong method, wrong field).

    ServiceError                      status  code
    ├── InvalidInput                  422     invalid_input
    ├── AnswerTooLarge                422     answer_too_large
    ├── MalformedRequest              400     malformed_request
    ├── Unauthorized                  401     unauthorized        (WWW-Authenticate)
    ├── Forbidden                     403     forbidden
    │   └── AdminDisabled             403     admin_disabled
    ├── ModelNotFound                 404     model_not_found
    ├── ModelConflict                 409     model_conflict
    ├── TextTooLarge                  413     too_large
    ├── ModelRejected                 422     model_rejected
    ├── QueueFull                     429     queue_full          (Retry-After)
    ├── TooManyRequests               429     too_many_requests   (Retry-After)
    ├── InferenceFailed               500     inference_failed
    ├── NotReady                      503     not_ready           (Retry-After)
    │   └── Draining                  503     draining            (Retry-After)
    ├── DeadlineExceeded              504     deadline_exceeded
    │   └── DeadlineUnreachable       504     deadline_unreachable
    └── InsufficientMemory            507     insufficient_memory
    BundleError                       stops start-up; over HTTP it is a ModelRejected

Domain code raises these; `service.api.problems` is the one place that turns them into HTTP answers.
"""

from collections.abc import Mapping
from typing import ClassVar


class ServiceError(Exception):
    """An error with a public message; subclasses fix the HTTP status and the machine-readable code.

    Args:
        detail: A sentence for the person who sent the request. It must not hold document text.
        retry_after_seconds: When the same request may succeed, for answers that carry `Retry-After`.
    """

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"
    headers: ClassVar[Mapping[str, str]] = {}

    def __init__(self, detail: str, *, retry_after_seconds: float | None = None) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after_seconds = retry_after_seconds


class MalformedRequest(ServiceError):
    """The body is not JSON, or not the JSON of this endpoint."""

    status, code, title = 400, "malformed_request", "Malformed request"


class Unauthorized(ServiceError):
    """The request carries no key, or none that is known."""

    status, code, title = 401, "unauthorized", "Unauthorized"
    headers: ClassVar[Mapping[str, str]] = {"WWW-Authenticate": 'Bearer realm="bigbird-serve"'}


class Forbidden(ServiceError):
    """The key is known, but may not do this."""

    status, code, title = 403, "forbidden", "Forbidden"


class AdminDisabled(Forbidden):
    """The server was started without an admin key: nobody may do this."""

    code, title = "admin_disabled", "Administration is off"


class ModelNotFound(ServiceError):
    """No loaded model has the asked name, or none serves the asked task."""

    status, code, title = 404, "model_not_found", "Model not found"


class ModelConflict(ServiceError):
    """The model is being changed already, or is loaded and should not be."""

    status, code, title = 409, "model_conflict", "Model conflict"


class ModelRejected(ServiceError):
    """The bundle cannot be served; what was served before still is."""

    status, code, title = 422, "model_rejected", "Model rejected"


class TextTooLarge(ServiceError):
    """A text is longer than the configured limit of characters, or a list longer than its limit."""

    status, code, title = 413, "too_large", "Too large"


class InvalidInput(ServiceError):
    """The request is well-formed JSON, but this model cannot work with its values."""

    status, code, title = 422, "invalid_input", "Invalid input"


class AnswerTooLarge(ServiceError):
    """The answer has more bytes than one may have; the message says what makes it smaller."""

    status, code, title = 422, "answer_too_large", "Answer too large"


class QueueFull(ServiceError):
    """The queue holds as much work as it may; nothing was accepted."""

    status, code, title = 429, "queue_full", "Queue full"


class TooManyRequests(ServiceError):
    """So many requests, or so large ones, are under way that another is not read."""

    status, code, title = 429, "too_many_requests", "Too many requests"


class InferenceFailed(ServiceError):
    """The model run failed; the cause is in the log, not in the answer."""

    status, code, title = 500, "inference_failed", "Inference failed"


class NotReady(ServiceError):
    """Models are still being loaded or warmed, or the executor has stopped."""

    status, code, title = 503, "not_ready", "Not ready"


class Draining(NotReady):
    """The server is shutting down and takes no new work."""

    code, title = "draining", "Draining"


class DeadlineExceeded(ServiceError):
    """The request's deadline passed before its result was there."""

    status, code, title = 504, "deadline_exceeded", "Deadline exceeded"


class DeadlineUnreachable(DeadlineExceeded):
    """By the measured speed the request could not be finished before its deadline; nothing was accepted."""

    code, title = "deadline_unreachable", "Deadline unreachable"


class InsufficientMemory(ServiceError):
    """There is no room for the model beside what is served."""

    status, code, title = 507, "insufficient_memory", "Insufficient memory"


class BundleError(Exception):
    """A bundle on disk cannot be served; the message names the file and what is wrong with it.

    Args:
        message: One line is made of it, however hostile the bundle's contents are that it quotes.
    """

    def __init__(self, message: str) -> None:
        line = "".join(
            character if character.isprintable() else ascii(character)[1:-1] for character in " ".join(message.split())
        )
        super().__init__(line if len(line) <= 1000 else f"{line[:1000]}...")
