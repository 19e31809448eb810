"""How much of the GPU's speed the whole server delivers: mixed documents over HTTP against the bare executor.

The server writes down the batches that it ran; a process with the same sessions, recorded graphs included, runs the
same batches without a server. Both take turns.
"""

import contextlib
import os
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from statistics import fmean, median

from benchmarks.gpu.findings import Served
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sessions import open_buckets, record
from benchmarks.http import Case, Round, make_batch, measure_saturation
from benchmarks.limited_worker import LimitedWorker
from benchmarks.recording_server import RecordedRun, recording_server
from bigbird_inference.runtime.session import Batch, Session, Shape


def measure_server(plan: Plan, bundle: Path) -> Served:
    """Measure the server against the bare executor."""
    settings = {
        "BIGBIRD_DEVICE": plan.device,
        "BIGBIRD_MAX_BATCH_TOKENS": str(plan.served_tokens),
        "BIGBIRD_WARM_UP_SECONDS": str(plan.warm_up_seconds),
        "BIGBIRD_LOG_LEVEL": "warning",
        "BIGBIRD_LOG_FORMAT": "text",
    }
    case = Case(plan.name, bundle, plan.rounds, plan.requests, plan.connections, idle_requests=0, goal=0.85)
    executor = (BareExecutor, bundle, plan.device)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "model").symlink_to(bundle.resolve())
        stack.enter_context(_environment(settings))
        server = stack.enter_context(recording_server(folder))
        bare = stack.enter_context(LimitedWorker("bare executor", plan.answer_seconds, *executor))
        bare.wait_until_made()
        return summary(measure_saturation(case, server, bare))


class BareExecutor:
    """Runs batches on sessions, without a server.

    Args:
        bundle: Whose sessions.
        device: Where they run.
    """

    def __init__(self, bundle: Path, device: str) -> None:
        self._sessions = open_buckets(bundle, device)
        self._is_recorded = False

    def run(self, runs: Sequence[RecordedRun]) -> float:
        """Run batches of the recorded shapes one after the other and return the seconds; making them is not timed."""
        batches = [(run.bucket, make_batch(run)) for run in runs]
        if not self._is_recorded:
            self._warm_and_record(batches)
        start = time.perf_counter()
        for bucket, batch in batches:
            self._sessions[bucket].run(batch)
        return time.perf_counter() - start

    def _warm_and_record(self, batches: Sequence[tuple[int, Batch]]) -> None:
        """Run everything once, so that no memory is taken later, then record what was run."""
        shapes: dict[Session, set[Shape]] = defaultdict(set)
        for bucket, batch in batches:
            self._sessions[bucket].run(batch)
            shapes[self._sessions[bucket]].add(Shape(len(batch.input_ids), bucket))
        for session, own in shapes.items():
            record(session, sorted(own))
        self._is_recorded = True


def summary(rounds: Sequence[Round]) -> Served:
    """Return medians over the rounds."""
    return Served(
        documents=median(len(each.load.latencies) / each.load.seconds for each in rounds),
        tokens=median(each.tokens / each.load.seconds for each in rounds),
        bare_tokens=median(each.tokens / each.bare_seconds for each in rounds),
        share=median(each.share for each in rounds),
        batch=fmean(len(run.lengths) for each in rounds for run in each.runs),
        generator_cores=median(each.load.processor_seconds / each.load.seconds for each in rounds),
    )


@contextlib.contextmanager
def _environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Set variables for the processes that are started."""
    before = {name: os.environ.get(name) for name in variables}
    os.environ.update(variables)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
