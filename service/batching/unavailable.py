"""Why no work is taken: the states of the server that a request can meet, as errors."""

from bigbird_inference.errors import Draining, NotReady, ServiceError


def still_warming() -> ServiceError:
    """Return what requests hear before warm-up has finished."""
    return NotReady(
        "The models are still being warmed; ask again when /health/ready says 200.", retry_after_seconds=5.0
    )


def executor_stopped() -> ServiceError:
    """Return what requests hear once the executor is dead."""
    return NotReady("The executor has stopped; the server must be restarted.", retry_after_seconds=30.0)


def run_stuck() -> ServiceError:
    """Return what requests hear while a run takes so long that it may never end."""
    return NotReady("A model run does not end; the server must be restarted.", retry_after_seconds=30.0)


def shutting_down() -> ServiceError:
    """Return what requests hear once the server is draining."""
    return Draining("The server is shutting down and takes no new work.", retry_after_seconds=1.0)
