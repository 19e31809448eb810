"""What a request carries from the outermost middleware to its route and back."""

from fastapi import Request

from service.telemetry.request_record import RequestRecord


def request_record(request: Request) -> RequestRecord:
    """Return the request's record."""
    record: RequestRecord = request.state.record
    return record
