"""How long each stage of the way takes; filled in by requests and by batches."""

from prometheus_client import CollectorRegistry, Histogram

from service.telemetry.seconds import SECONDS
from service.telemetry.stages import STAGES, Stage


class StageMetrics:
    """One histogram for all stages.

    Args:
        registry: Where it is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._seconds = Histogram(
            "bigbird_stage_duration_seconds",
            "Time in a stage of a request's way: parse and respond once for each request, tokenise and decode once for "
            "each of its documents, queue, collate and inference once for each window.",
            ["stage", "model", "bucket"],
            buckets=SECONDS,
            registry=registry,
        )

    def declare(self, model: str, bucket: int) -> None:
        """Create a bucket's series."""
        for stage in STAGES:
            self._seconds.labels(stage, model, bucket)

    def observe(self, stage: Stage, model: str, bucket: int, seconds: float, times: int = 1) -> None:
        """Count a stage that so many took together."""
        histogram = self._seconds.labels(stage, model, bucket)
        for _ in range(times):
            histogram.observe(seconds)
