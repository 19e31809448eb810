"""What the buckets of a model cost in memory when they are loaded together, by how onnxruntime is set up.

    python -m benchmarks.memory

Every way to set it up is measured in a process of its own: the proportional set size (each page divided by the number
of processes that map it) after one bucket was loaded and warmed, after all were, and after each bucket ran its largest
batch. Speed is compared in pairs: a process with one bucket set up in that way and one set up as the service is take turns.
"""

import argparse
import gc
import json
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

BUDGET_TOKENS = 16_384
SPEED_LENGTHS = (512, 1024, 4096)
MEBIBYTE = 2**20


@dataclass(frozen=True, slots=True)
class Variant:
    """A way to set onnxruntime up.

    Attributes:
        meaning: In the words of the report.
        entries: Session configuration entries that differ from the service's.
        arena: Whether an arena keeps memory between runs.
        shared_arena: Whether all sessions use one arena, and how it grows: `power_of_two` or `as_requested`.
        memory_pattern: Whether a session lays out the memory of a shape it has seen as one block.
        shrink: Whether every run gives back what the arena does not use afterwards.
        one_thread_pool: Whether all sessions use one pool of threads.
    """

    meaning: str
    entries: Mapping[str, str] = field(default_factory=dict)
    arena: bool = True
    shared_arena: str = ""
    memory_pattern: bool = True
    shrink: bool = False
    one_thread_pool: bool = False


UNPACKED = {"session.disable_prepacking": "1"}
NOT_SPINNING = {"session.intra_op.allow_spinning": "0"}

VARIANTS: Mapping[str, Variant] = {
    "own arenas": Variant("an arena for each session", UNPACKED),
    "own arenas, prepacked": Variant("an arena for each session; weights prepacked by each session"),
    "no arena": Variant("no arena", UNPACKED, arena=False),
    "no arena, no pattern": Variant("no arena, no memory pattern", UNPACKED, arena=False, memory_pattern=False),
    "no pattern": Variant("an arena for each session, no memory pattern", UNPACKED, memory_pattern=False),
    "shrinking": Variant("an arena for each session, shrunk after each run", UNPACKED, shrink=True),
    "shared arena": Variant("one arena, grown by powers of two", UNPACKED, shared_arena="power_of_two"),
    "shared arena, as requested": Variant("one arena, grown as requested", UNPACKED, shared_arena="as_requested"),
    "shared arena, as requested, no pattern": Variant(
        "one arena, grown as requested, no memory pattern",
        UNPACKED,
        shared_arena="as_requested",
        memory_pattern=False,
    ),
    "shared arena, no pattern": Variant(
        "one arena, grown by powers of two, no memory pattern",
        UNPACKED,
        shared_arena="power_of_two",
        memory_pattern=False,
    ),
    "shared arena, prepacked": Variant(
        "one arena, grown as requested; weights prepacked by each session", shared_arena="as_requested"
    ),
    "shared arena and threads": Variant(
        "one arena, grown as requested, and one pool of threads",
        UNPACKED,
        shared_arena="as_requested",
        one_thread_pool=True,
    ),
    "shared arena, not spinning": Variant(
        "one arena, grown as requested; idle threads sleep",
        UNPACKED | NOT_SPINNING,
        shared_arena="as_requested",
    ),
    "shared arena and threads, not spinning": Variant(
        "one arena, grown as requested, one pool of threads; idle threads sleep",
        UNPACKED | NOT_SPINNING,
        shared_arena="as_requested",
        one_thread_pool=True,
    ),
    "shared arena, shrinking": Variant(
        "one arena, grown as requested, shrunk after each run", UNPACKED, shared_arena="as_requested", shrink=True
    ),
}


class Sessions:
    """Buckets of a bundle, loaded in one way."""

    def __init__(self, variant: Variant, threads: int) -> None:
        self._variant = variant
        self._options = onnxruntime.SessionOptions()
        self._options.log_severity_level = 3
        self._options.intra_op_num_threads = threads
        self._options.enable_cpu_mem_arena = variant.arena
        self._options.enable_mem_pattern = variant.memory_pattern
        for key, value in variant.entries.items():
            self._options.add_session_config_entry(key, value)
        if variant.one_thread_pool:
            onnxruntime.set_global_thread_pool_sizes(threads, 1)
            self._options.use_per_session_threads = False
        if variant.shared_arena:
            growth = {"power_of_two": 0, "as_requested": 1}[variant.shared_arena]
            onnxruntime.create_and_register_allocator(
                onnxruntime.OrtMemoryInfo(
                    "Cpu", onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, onnxruntime.OrtMemType.DEFAULT
                ),
                # No limit, and the library's own defaults for the first chunk and for chunks that are split.
                onnxruntime.OrtArenaCfg(0, growth, -1, -1),
            )
            self._options.add_session_config_entry("session.use_env_allocators", "1")
        self._run_options = onnxruntime.RunOptions()
        if variant.shrink:
            self._run_options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._loaded: dict[int, onnxruntime.InferenceSession] = {}

    def load(self, bundle: Path, length: int) -> None:
        self._loaded[length] = onnxruntime.InferenceSession(
            str(bundle / f"graph-{length}.onnx"), self._options, providers=["CPUExecutionProvider"]
        )

    def run(self, length: int, batch: int) -> float:
        """Run a batch of documents that fill the bucket, and return the seconds it took."""
        session = self._loaded[length]
        ids = np.random.default_rng(length).integers(100, 5000, (batch, length))
        values = {"input_ids": ids, "attention_mask": np.ones_like(ids), "token_type_ids": np.zeros_like(ids)}
        feeds = {entry.name: values[entry.name] for entry in session.get_inputs()}
        start = time.perf_counter()
        session.run(None, feeds, self._run_options)
        return time.perf_counter() - start


def proportional_set_size() -> int:
    """Return this process's share of the memory it uses, in bytes (proc(5), `smaps_rollup`)."""
    gc.collect()
    for line in Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("smaps_rollup has no Pss")


def thread_count() -> int:
    """Return how many threads this process has."""
    return len(list(Path("/proc/self/task").iterdir()))


def child() -> None:
    """Do what the lines on standard input say; answer each with a line of JSON."""
    sessions: Sessions | None = None
    for line in sys.stdin:
        order = json.loads(line)
        answer: Any = None
        match order:
            case {"set_up": name, "threads": threads}:
                sessions = Sessions(VARIANTS[name], threads)
            case {"load": bundle, "length": length} if sessions is not None:
                sessions.load(Path(bundle), length)
            case {"run": length, "batch": batch} if sessions is not None:
                answer = sessions.run(length, batch)
            case {"measure": "memory"}:
                answer = proportional_set_size()
            case {"measure": "threads"}:
                answer = thread_count()
        print(json.dumps(answer), flush=True)


class Child:
    """A process that does what it is told."""

    def __init__(self, variant: str, threads: int) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory", "--child"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.order(set_up=variant, threads=threads)

    def order(self, **order: object) -> Any:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise RuntimeError(f"the measuring process ended with status {self._process.wait()}")
        return json.loads(answer)

    def warm(self, bundle: Path, length: int, batch: int = 1) -> None:
        """Load a bucket and run it as often as it takes until all its memory has been touched."""
        self.order(load=str(bundle), length=length)
        for _ in range(2):
            self.order(run=length, batch=batch)

    def close(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()


def main() -> None:
    """Measure and write the report."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--bundle", type=Path)
    parser.add_argument("--only", nargs="*")
    parser.add_argument("--speed", type=int, default=0)
    parser.add_argument("--large", action="store_true")
    arguments = parser.parse_args()
    if arguments.child:
        child()
        return
    lengths = sorted(int(p.stem.split("-")[1]) for p in arguments.bundle.glob("graph-*.onnx"))
    for name in arguments.only or VARIANTS:
        with closing(Child(name, 2)) as process:
            empty = process.order(measure="memory")
            process.warm(arguments.bundle, lengths[-1])
            one = process.order(measure="memory")
            one_large = 0
            if arguments.large:
                for _ in range(2):
                    process.order(run=lengths[-1], batch=BUDGET_TOKENS // lengths[-1])
                one_large = process.order(measure="memory")
        with closing(Child(name, 2)) as process:
            begin = time.perf_counter()
            for length in lengths:
                process.warm(arguments.bundle, length)
            ready = time.perf_counter() - begin
            all_ = process.order(measure="memory")
            large = 0
            if arguments.large:
                for length in lengths:
                    for _ in range(2):
                        process.order(run=length, batch=BUDGET_TOKENS // length)
                large = process.order(measure="memory")
            threads = process.order(measure="threads")
        print(
            f"{name:42s} empty {empty >> 20} one {one >> 20} all {all_ >> 20} ratio {all_ / one:.2f} "
            f"one_large {one_large >> 20} all_large {large >> 20} ratio {large / max(1, one_large):.2f} threads {threads} ready {ready:.0f}", flush=True
        )


if __name__ == "__main__":
    main()
