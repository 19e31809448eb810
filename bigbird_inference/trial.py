"""A bundle's graphs, run under limits before they touch what serves.

A graph is a program: it may loop for ever, or ask for all memory there is, when it is loaded (constants are folded
then) or when it runs. onnxruntime can be asked to end a run, between two operators; nothing bounds what one operator
takes, and nothing ends a load. So a bundle is tried in a process of its own, which is ended from outside:

    python -m bigbird_inference.trial FOLDER THREADS RUNTIME PRECISION

It loads the graphs with the options that serve them, asks the known answer and runs both ends of each graph, with one
sequence. Meanwhile whoever started it looks at its memory and its processor time, fifty times a second. Resident memory
is what counts: address space says nothing, for arenas reserve it. Processor time is what counts, and not the clock,
because the machine may be busy with what serves.

The trial takes as much time as loading and the known answer (for the base configuration a dozen seconds of a core). A
start, at which nothing serves yet, does without: `service.models.loading` watches the process itself with the same
limits. The known answer and both ends run there anyway.

A trial proves nothing about a graph that behaves otherwise later; onnxruntime is no sandbox.
"""

import contextlib
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.host_memory import anonymous_bytes_of, available_bytes
from bigbird_inference.known_answer import check_known_answer, run_unasked_ends
from bigbird_inference.loaded_model import device_openers
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice
from bigbird_inference.runtime.devices import Devices
from bigbird_inference.runtime.session import OutOfMemory, meaning_of

# Measured in a process of its own (2 cores, fp32): 0.12 GB and 1 s of a core for the demo models (8 MB of weights,
# 70 MB for a run), 0.93 GB and 15 s for the base configuration (486 MB, 353 MB).
_MEMORY_BYTES, _TIMES_WEIGHTS, _TIMES_PEAK = 512 * 2**20, 3, 3
_SECONDS, _SECONDS_PER_MEGABYTE, _MOST_SECONDS = 20.0, 0.25, 1800.0
_USUAL_LENGTH = 4096
# A process that works gets at least this share of a core.
_LEAST_SHARE = 0.1
# Of what is available; the rest is for what else runs, and for what is taken between two looks.
_SHARE_OF_AVAILABLE = 0.95
_LOOK_SECONDS = 0.02
# A trial beside others' requests leaves them three quarters of the cores.
_NICENESS = 5
REFUSED = 3
_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, slots=True)
class Limits:
    """What loading a bundle and running its graphs once may take.

    Attributes:
        memory_bytes: Beyond what the process has already.
        seconds: Of processor time.
        ends_at_available: Whether the memory is all that is there, and the bundle may need more.
        least_share: What a process that works gets of a core at least; with 1, the clock counts.
    """

    memory_bytes: int
    seconds: float
    ends_at_available: bool = False
    least_share: float = _LEAST_SHARE


def limits_of(manifest: Manifest, available: int | None) -> Limits:
    """Return generous limits, by the size of the weights and by what runs took when the bundle was exported.

    Args:
        manifest: The bundle's manifest.
        available: Memory that there is in bytes, or None if that is unknown.
    """
    weights = manifest.weights.bytes
    recorded = [bucket.peak_memory_bytes for bucket in manifest.buckets if bucket.peak_memory_bytes is not None]
    peak = max(recorded, default=weights + _MEMORY_BYTES)
    memory = _MEMORY_BYTES + _TIMES_WEIGHTS * weights + _TIMES_PEAK * peak
    # Full attention takes time in proportion to the square of the length.
    longest = max(bucket.length for bucket in manifest.buckets)
    length = max(1.0, longest / _USUAL_LENGTH) ** 2
    seconds = min(_SECONDS + _SECONDS_PER_MEGABYTE * weights / 2**20 * length, _MOST_SECONDS)
    if available is not None and available * _SHARE_OF_AVAILABLE < memory:
        return Limits(int(available * _SHARE_OF_AVAILABLE), seconds, ends_at_available=True)
    return Limits(memory, seconds)


class Watch:
    """Tells whether a process has gone beyond limits since the watch began.

    Args:
        process: Its number.
        limits: What it may take from now on.
    """

    def __init__(self, process: int, limits: Limits) -> None:
        self._process = process
        self._limits = limits
        self._began_at = time.monotonic()
        self._memory_before = anonymous_bytes_of(process) or 0
        self._seconds_before = _processor_seconds(process) or 0.0

    def beyond(self) -> BundleError | None:
        """Return what the process has done, or None while it stays within the limits."""
        limits = self._limits
        memory = anonymous_bytes_of(self._process)
        if memory is not None and memory - self._memory_before > limits.memory_bytes:
            gigabytes = limits.memory_bytes / 1e9
            if limits.ends_at_available:
                error = BundleError(f"its graphs take more memory than is available here, {gigabytes:.1f} GB")
                error.__cause__ = OutOfMemory(str(error))
                return error
            return BundleError(
                f"its graphs take more than {gigabytes:.1f} GB of memory for one sequence, several times what its "
                "weights and its manifest let expect; export the checkpoint again"
            )
        used = _processor_seconds(self._process)
        waited = (time.monotonic() - self._began_at) * limits.least_share
        if max(waited, (used or 0.0) - self._seconds_before) > limits.seconds:
            return BundleError(
                f"its graphs have not ended after {limits.seconds:.0f} s of processor time, several times what a model "
                "of this size takes; export the checkpoint again"
            )
        return None


def _processor_seconds(process: int) -> float | None:
    """Return the processor time of a process, all threads together; None where it is unknown."""
    try:
        # The name, in brackets, may hold anything; user and system time are fields 14 and 15 (proc(5)).
        fields = Path(f"/proc/{process}/stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    except (OSError, ValueError, IndexError):
        return None


def try_bundle(
    bundle: Bundle, threads: int, cpu: CpuChoice, given_up: threading.Event, limits: Limits | None = None
) -> None:
    """Run a checked bundle's graphs on the CPU in another process; blocks until that has ended.

    Args:
        bundle: The bundle; whoever loads it afterwards makes sure that its files are still the same.
        threads: Threads of a run; 0 for one per available core.
        cpu: What runs the graphs.
        given_up: Ends the trial when it is set.
        limits: What it may take; None for those of its manifest.

    Raises:
        BundleError: It went beyond the limits, or its graphs cannot be loaded or run.
    """
    limits = limits or limits_of(bundle.manifest, available_bytes())
    ended = run_apart(
        "bigbird_inference.trial", [str(bundle.folder), str(threads), cpu.runtime, cpu.precision], limits, given_up
    )
    error = ended.error if ended.status == 0 or ended.error is not None else failure(ended.status, ended.output)
    if error is not None:
        named = str(error).startswith(str(bundle.folder))
        raise BundleError(f"{'' if named else f'{bundle.folder}: '}{error}") from error.__cause__


class Ended(NamedTuple):
    """How a process ended.

    Attributes:
        status: As `subprocess` gives it.
        output: What it printed.
        error: Why it was ended from outside, or None if it was not.
    """

    status: int
    output: str
    error: BundleError | None


def run_apart(module: str, arguments: Sequence[str], limits: Limits, given_up: threading.Event) -> Ended:
    """Run a module in a process of its own; blocks until that has ended.

    Args:
        module: Its name; it calls `end_with_whoever_waits`.
        arguments: Its arguments.
        limits: What it may take.
        given_up: Ends it when it is set.
    """
    command = [sys.executable, "-P", "-m", module, *arguments]
    # What is imported there is what is imported here, wherever that lies.
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": paths},
    ) as process:
        try:
            error = _follow(process, limits, given_up)
        finally:
            process.kill()
        output = process.stdout.read() if process.stdout is not None else b""
    return Ended(process.returncode, output.decode("utf-8", "replace"), error)


def _follow(process: subprocess.Popen[bytes], limits: Limits, given_up: threading.Event) -> BundleError | None:
    """Wait for the end of a trial, or for the moment at which it goes too far."""
    watch = Watch(process.pid, limits)
    while process.poll() is None:
        error = watch.beyond()
        if error is not None:
            return error
        if given_up.wait(_LOOK_SECONDS):
            return BundleError("its trial was given up")
    return None


def failure(status: int, output: str) -> BundleError:
    """Return what became of a trial that ended by itself."""
    if status == REFUSED and output:
        error = BundleError(output.splitlines()[-1])
        meaning = meaning_of(error)
        error.__cause__ = meaning if isinstance(meaning, OutOfMemory) else None
        return error
    how = f"signal {-status}" if status < 0 else f"status {status}"
    return BundleError(f"the process that tried its graphs ended with {how}; export the checkpoint again")


def main(folder: Path, threads: int, cpu: CpuChoice) -> int:
    """Load and run a bundle's graphs once; return the exit status, and print why if it cannot be served."""
    end_with_whoever_waits()
    try:
        bundle = Bundle(folder, read_manifest(folder))
        (open_bundle,) = device_openers(Devices(), threads=threads, cpu=cpu)
        opened = open_bundle(bundle)
        check_known_answer(opened.manifest, opened.sessions)
        run_unasked_ends(opened.manifest, opened.sessions)
    except Exception as error:
        return refuse(error)
    return 0


def end_with_whoever_waits() -> None:
    """Leave cores to others, and end this process when the one that started it has ended, however that happened."""

    def wait() -> None:
        sys.stdin.buffer.read()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()
    with contextlib.suppress(OSError):
        os.nice(_NICENESS)


def refuse(error: Exception) -> int:
    """Print why a bundle cannot be run, as the last line, and return the status that says so."""
    # onnxruntime's exception classes share no public base.
    line = " ".join(str(error).split())[:_LONGEST_MESSAGE]
    print(line if isinstance(error, BundleError) else f"its graphs cannot be run: {line}", flush=True)
    return REFUSED


if __name__ == "__main__":
    # Python would take onnxruntime down in order, for nothing.
    os._exit(main(Path(sys.argv[1]), int(sys.argv[2]), CpuChoice(*sys.argv[3:])))  # type: ignore[arg-type]
