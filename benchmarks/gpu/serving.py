"""What it takes to serve: the memory of the buckets, and how much of the GPU's speed the whole server delivers.

The server answers mixed documents over HTTP and writes down the batches that it ran. A process with the same sessions,
recorded graphs included, runs the same batches without a server. Both take turns.
"""

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path

import torch

from benchmarks.gpu.contenders import OurSessions
from benchmarks.gpu.plan import ANSWER_SECONDS, CPU, Plan
from benchmarks.gpu.results import Cells
from benchmarks.http import Case, make_batch, measure_saturation, saturation_row
from benchmarks.limited_worker import LimitedWorker
from benchmarks.peak_memory import resident_memory
from benchmarks.random_documents import random_batch
from benchmarks.recording_server import RecordedRun, recording_server
from bigbird_inference.runtime.session import Shape

_WARM_RUNS = 2
_RECORDED = (1, 2, 4, 8, 16, 32, 64)
_ROUNDS = 3


def measure_memory(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield the bytes that a bucket of each measured length takes alone, and that all buckets take together."""
    for name in missing:
        length = name.removeprefix("memory/")
        lengths = plan.buckets if length == "all" else (int(length),)
        with LimitedWorker(name, ANSWER_SECONDS, _Taken, plan.device) as worker:
            worker.wait_until_made()
            yield {name: {"bytes": worker.call("by", plan.bundle, plan.features, lengths, plan.served_tokens)}}


class _Taken:
    """The memory that its process has taken since it was made."""

    def __init__(self, device: str) -> None:
        self._device = device
        if device != CPU:
            # Makes the context, which is the process's and not the buckets'.
            torch.zeros(1, device=device)
        self._before = self._used()

    def by(self, bundle: Path, features: str, lengths: Sequence[int], tokens: int) -> int:
        """Load a bundle, let buckets run as many tokens as are served at most, record them; return the bytes taken."""
        sessions = OurSessions(bundle, self._device, features)
        most = {length: max(1, tokens // length) for length in lengths}
        for length in lengths:
            for _ in range(_WARM_RUNS):
                sessions.run(random_batch(range(most[length]), length))
        sessions.record([Shape(rows, length) for length in lengths for rows in _RECORDED if rows <= most[length]])
        return self._used() - self._before

    def _used(self) -> int:
        """Return what the whole device has in use; nothing else runs on it while this is measured."""
        if self._device == CPU:
            return resident_memory()
        free, total = torch.cuda.mem_get_info(self._device)
        return total - free


def measure_server(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield what the server delivers, against the bare executor; see `benchmarks.http`."""
    settings = {
        "BIGBIRD_DEVICE": plan.device,
        "BIGBIRD_GPU_FEATURES": plan.features,
        "BIGBIRD_MAX_BATCH_TOKENS": str(plan.served_tokens),
        "BIGBIRD_LOG_LEVEL": "warning",
        "BIGBIRD_LOG_FORMAT": "text",
    }
    case = Case("", plan.bundle, _ROUNDS, plan.requests, plan.connections, idle_requests=0, goal=0.85)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        (folder / "model").symlink_to(plan.bundle.resolve())
        server = stack.enter_context(recording_server(folder, settings))
        executor = (BareExecutor, plan.bundle, plan.device, plan.features)
        bare = stack.enter_context(LimitedWorker("bare executor", ANSWER_SECONDS, *executor))
        bare.wait_until_made()
        yield {"server/mixed": saturation_row(case, measure_saturation(case, server, bare))}


class BareExecutor:
    """Runs batches on sessions, without a server."""

    def __init__(self, bundle: Path, device: str, features: str) -> None:
        self._sessions = OurSessions(bundle, device, features)
        self._is_warm = False

    def run(self, runs: Sequence[RecordedRun]) -> float:
        """Run batches of the recorded shapes one after the other and return the seconds; making them is not timed."""
        batches = [make_batch(run) for run in runs]
        if not self._is_warm:
            # Everything runs once, so that no memory is taken later, and is then recorded.
            for batch in batches:
                self._sessions.run(batch)
            self._sessions.record(sorted({Shape(*batch.input_ids.shape) for batch in batches}))
            self._is_warm = True
        start = time.perf_counter()
        for batch in batches:
            self._sessions.run(batch)
        return time.perf_counter() - start
