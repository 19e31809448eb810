"""What the buckets of a model cost in memory when they are loaded together, by runtime and by how it is set up.

    python -m benchmarks.memory                     the base model; a table in benchmarks/results
    python -m benchmarks.memory --precision int8    the same for its int8 bundle
    python -m benchmarks.memory --all               every set-up that was considered
    python -m benchmarks.memory --quick             memory only, of three buckets of two layers

Every set-up is measured in processes of its own: the proportional set size (each page divided by the number of times
it is mapped) after the longest bucket alone was loaded and warmed, after all buckets were, and after larger batches.
Speed is compared in pairs: a process with that set-up and one with the service's take turns.
"""

import argparse
import gc
import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from statistics import median

import numpy as np

from benchmarks.base_checkpoint import BASE_CONFIG, NINE_BUCKETS, base_bundle
from benchmarks.report import QUICK_RESULTS, RESULTS, Row, write_report
from benchmarks.worker import Worker
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import CpuPrecision
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.openvino_session import open_openvino_session
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch
from model_export.export.buckets import plan_buckets

SPEED_LENGTHS = (512, 1024, 4096)
SPEED_REPEATS = {512: 9, 1024: 7, 4096: 3}
BATCH_TOKENS = 8192
_BATCHED_LENGTHS = 4


@dataclass(frozen=True, slots=True)
class SetUp:
    """A way to set a runtime up.

    Attributes:
        entries: Session configuration entries.
        arena: Which memory sessions take: `none` of their own, `own` for an arena each, or the growth of one arena
            for all, `powers of two` or `as requested`.
        memory_pattern: Whether a session lays the memory of a shape that it has seen out as one block.
        shrink: Whether a run gives back what its arena does not use after it.
        one_thread_pool: Whether all sessions use one pool of threads.
        openvino: What OpenVINO computes in; it takes onnxruntime's place, and the rest does not count.
    """

    entries: Mapping[str, str] = field(default_factory=dict)
    arena: str = "powers of two"
    memory_pattern: bool = False
    shrink: bool = False
    one_thread_pool: bool = False
    openvino: CpuPrecision | None = None


UNPACKED = {"session.disable_prepacking": "1"}
SPINNING_WITHIN_RUNS = {"session.force_spinning_stop": "1"}
VECTORISED = {"optimization.disable_specified_optimizers": "SkipLayerNormFusion"}
AS_SERVED = SPINNING_WITHIN_RUNS | VECTORISED
SERVICE = "as served"
OPENVINO = "OpenVINO as served, bf16"
NOT_PACKED = "weights not packed"
_GROWTH = {"powers of two": 0, "as requested": 1}

SET_UPS: Mapping[str, SetUp] = {
    SERVICE: SetUp(AS_SERVED),
    "onnxruntime's defaults": SetUp(arena="own", memory_pattern=True),
    OPENVINO: SetUp(openvino="bf16"),
    "OpenVINO as served, fp32": SetUp(openvino="fp32"),
    NOT_PACKED: SetUp(AS_SERVED | UNPACKED),
    "an arena for each session, with memory patterns": SetUp(AS_SERVED, arena="own", memory_pattern=True),
    "an arena for each session": SetUp(AS_SERVED, arena="own"),
    "an arena for each session, shrunk after each run": SetUp(AS_SERVED, arena="own", shrink=True),
    "one arena, with memory patterns": SetUp(AS_SERVED, memory_pattern=True),
    "one arena, grown as requested": SetUp(AS_SERVED, arena="as requested"),
    "one arena, shrunk after each run": SetUp(AS_SERVED, shrink=True),
    "no arena": SetUp(AS_SERVED, arena="none"),
    "residual and normalisation fused": SetUp(SPINNING_WITHIN_RUNS),
    "one pool of threads": SetUp(VECTORISED, one_thread_pool=True),
    "threads that spin after a run too": SetUp(VECTORISED),
    "threads that never spin": SetUp(VECTORISED | {"session.intra_op.allow_spinning": "0"}),
}


QUICK_BUCKETS = (512, 1024, 4096)
MAIN = (SERVICE, NOT_PACKED, *([OPENVINO] if quiet_openvino.installed() else []))
"""What is measured unless others are asked for; all of them take half an hour."""


class LoadedBuckets:
    """Buckets of a bundle, in this process.

    Args:
        set_up: How the runtime is set up.
        bundle: Folder of the bundle.
    """

    def __init__(self, set_up: SetUp, bundle: Path) -> None:
        self._bundle = bundle
        self._manifest = read_manifest(bundle)
        self._sessions: dict[str, Callable[[Batch], object]] = {}
        self._openvino = set_up.openvino
        self._options = onnxruntime.SessionOptions()
        self._options.log_severity_level = 3
        self._options.intra_op_num_threads = available_cores()
        self._options.enable_cpu_mem_arena = set_up.arena != "none"
        self._options.enable_mem_pattern = set_up.memory_pattern
        for key, value in set_up.entries.items():
            self._options.add_session_config_entry(key, value)
        if set_up.one_thread_pool:
            onnxruntime.set_global_thread_pool_sizes(available_cores(), 1)
            self._options.use_per_session_threads = False
        if set_up.arena in _GROWTH:
            memory = onnxruntime.OrtMemoryInfo(
                "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
            )
            growth = onnxruntime.OrtArenaCfg({"arena_extend_strategy": _GROWTH[set_up.arena]})
            onnxruntime.create_and_register_allocator(memory, growth)
            self._options.add_session_config_entry("session.use_env_allocators", "1")
        # With memory patterns, a shape takes its block when it runs again.
        self._warming_runs = 2 if set_up.memory_pattern else 1
        self._run_options = onnxruntime.RunOptions()
        if set_up.shrink:
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")

    def run(self, length: int, rows: int = 1) -> float:
        """Run a batch of documents that fill their bucket, and return the seconds; loads its graph if need be."""
        file = next(graph.file for graph in self._manifest.graphs if graph.takes(length))
        if file not in self._sessions:
            self._sessions[file] = self._loaded(self._bundle / file)
        ids = np.random.default_rng(length).integers(100, 5000, (rows, length))
        batch = Batch(ids, np.ones_like(ids), np.zeros_like(ids))
        start = time.perf_counter()
        self._sessions[file](batch)
        return time.perf_counter() - start

    def _loaded(self, graph: Path) -> Callable[[Batch], object]:
        """Return what runs a graph."""
        if self._openvino is not None:
            threads = available_cores()
            return open_openvino_session(graph, self._manifest, precision=self._openvino, threads=threads).run
        session = onnxruntime.InferenceSession(str(graph), self._options, providers=["CPUExecutionProvider"])
        inputs = [entry.name for entry in session.get_inputs()]
        return lambda batch: session.run(None, batch.feeds(inputs), self._run_options)

    def warm(self, lengths: Sequence[int], tokens: int = 0) -> int:
        """Run each bucket until it has touched its memory, with batches of so many tokens, and return the memory."""
        for length in lengths:
            for _ in range(self._warming_runs):
                self.run(length, max(1, tokens // length))
        return proportional_set_size()

    def threads(self) -> int:
        """Return how many threads this process has."""
        return len(list(Path("/proc/self/task").iterdir()))


def proportional_set_size() -> int:
    """Return this process's share of the memory it uses, in bytes (proc(5), `smaps_rollup`)."""
    gc.collect()
    found = re.search(r"^Pss:\s+(\d+) kB", Path("/proc/self/smaps_rollup").read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def memory_columns(set_up: SetUp, bundle: Path, lengths: Sequence[int]) -> Row:
    """Measure one bucket in a process, all of them in another."""
    with Worker("one bucket", LoadedBuckets, set_up, bundle) as worker:
        worker.wait_until_made()
        one = worker.call("warm", lengths[-1:])
    with Worker("all buckets", LoadedBuckets, set_up, bundle) as worker:
        worker.wait_until_made()
        start = time.monotonic()
        every = worker.call("warm", lengths)
        ready_seconds = time.monotonic() - start
        # Some of them: the largest batches decide, and they are all of the same size.
        large = worker.call("warm", lengths[:: max(1, len(lengths) // _BATCHED_LENGTHS)], BATCH_TOKENS)
        threads = worker.call("threads")
    return {
        "longest bucket, MiB": one >> 20,
        f"{len(lengths)} buckets, MiB": every >> 20,
        "ratio": every / one,
        f"after batches of {BATCH_TOKENS:,} tokens, MiB": large >> 20,
        "threads": threads,
        "loaded and warmed, s": ready_seconds,
    }


def speed_columns(set_up: SetUp, bundle: Path) -> Row:
    """Compare the time of single documents with that of the service's set-up, by turns."""
    columns: Row = {}
    with (
        Worker("compared", LoadedBuckets, set_up, bundle) as compared,
        Worker("service", LoadedBuckets, SET_UPS[SERVICE], bundle) as service,
    ):
        for worker in (compared, service):
            worker.wait_until_made()
        for length in SPEED_LENGTHS:
            for worker in (compared, service):
                worker.call("warm", [length])
            seconds = [
                (compared.call("run", length), service.call("run", length)) for _ in range(SPEED_REPEATS[length])
            ]
            theirs, ours = (median(values) for values in zip(*seconds, strict=True))
            columns[f"time at {length} by the service's"] = theirs / ours
    return columns


NOTES = (
    "Proportional set size, with nothing else that maps the weights running.",
    "Every bucket was warmed with a run of one full document (two with memory patterns); after that some of them with "
    "larger batches.",
    "Times are medians of single documents, in turns with a process that is set up as the service.",
    "Prepacked weights could be shared between sessions through a container of the C interface "
    "(`CreateSessionWithPrepackedWeightsContainer`), which the Python package does not offer.",
)


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--precision", choices=("fp32", "int8"), default="fp32", help="of the base model's bundle")
    parser.add_argument("--only", nargs="+", choices=list(SET_UPS), default=list(MAIN), metavar="SET-UP")
    parser.add_argument("--all", action="store_true", help="every set-up that was considered")
    parser.add_argument("--quick", action="store_true", help="three buckets of two layers; memory only")
    arguments = parser.parse_args()
    # The exports of `benchmarks.models`, which are there already; their graphs take every length.
    if arguments.quick:
        bundle = base_bundle(arguments.precision, QUICK_BUCKETS, 2)
        lengths = sorted(bucket.length for bucket in read_manifest(bundle).buckets)
    else:
        bundle = base_bundle(arguments.precision, NINE_BUCKETS)
        lengths = [bucket.length for bucket in plan_buckets(BASE_CONFIG)]
    names: list[str] = list(SET_UPS) if arguments.all else arguments.only
    rows: list[Row] = []
    for name in names:
        set_up = SET_UPS[name]
        # `benchmarks.models` has the speed of OpenVINO.
        compared = not (arguments.quick or name == SERVICE or set_up.openvino)
        speed = speed_columns(set_up, bundle) if compared else {}
        rows.append({"set-up": name} | memory_columns(set_up, bundle, lengths) | speed)
        print(" ".join(str(cell) for cell in chain(*rows[-1].items())), flush=True)
    write_report(
        "memory" if arguments.precision == "fp32" else "memory_int8",
        "Memory of a model's buckets",
        rows,
        NOTES,
        folder=QUICK_RESULTS if arguments.quick else RESULTS,
    )


if __name__ == "__main__":
    main()
