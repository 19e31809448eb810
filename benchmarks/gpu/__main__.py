"""How well the service uses a GPU: numbers, kernels, ceilings, memory, the whole server, and the peers.

    python -m benchmarks.gpu --prepare            makes checkpoint and bundles, some minutes, mostly on the CPU
    python -m benchmarks.gpu                      measures, within 8 minutes; results in benchmarks/results/gpu.*
    python -m benchmarks.gpu --dry-run-on-cpu     rehearses the same code with a small model; measures nothing

Nothing is downloaded. Numbers are checked first; if they are wrong, nothing is timed. Otherwise every part survives the
failure of another, and what was found is written after each.

Exit status: 0 if every target was reached, 1 if one was missed or could not be measured, 2 if nothing was measured
because there is no GPU, no bundle, or its numbers are wrong. A rehearsal has no targets: 1 if a part failed.
"""

import argparse
import multiprocessing
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch

from benchmarks.gpu.batches import COMPARED_DOCUMENTS, filled_batch
from benchmarks.gpu.bundles import fp32_bundle, measured_bundle
from benchmarks.gpu.ceilings import measure_ceilings
from benchmarks.gpu.contenders import gpu_contenders
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.kernels import used_kernels
from benchmarks.gpu.memory import measure_memory
from benchmarks.gpu.numerics import WrongNumbers, check_numbers
from benchmarks.gpu.peers import Reference
from benchmarks.gpu.plan import MEASUREMENT, REHEARSAL, Plan
from benchmarks.gpu.recordings import measure_recordings
from benchmarks.gpu.report import write
from benchmarks.gpu.speed import SpeedTest
from benchmarks.gpu.targets import verdicts
from benchmarks.limited_worker import LimitedWorker, reason
from benchmarks.report import QUICK_RESULTS, RESULTS
from benchmarks.worker import WorkerFailed
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError

MINUTES = 7.5
REACHED, MISSED, NOT_MEASURED = 0, 1, 2

_PRELOADED = [
    "benchmarks.gpu.bundles",
    "benchmarks.gpu.memory",
    "benchmarks.gpu.numerics",
    "benchmarks.gpu.recordings",
    "benchmarks.gpu.speed",
    "torch._dynamo",
]


class GpuBenchmark:
    """Runs the parts one after the other and writes what they have found.

    Args:
        plan: What is measured.
        folder: Where the report is written.
        seconds: No part begins after this time.
    """

    def __init__(self, plan: Plan, folder: Path, seconds: float) -> None:
        self.findings = Findings()
        self._plan = plan
        self._folder = folder
        self._seconds = seconds
        self._ends_at = 0.0
        self._checkpoint = plan.checkpoint()
        self._bundle = measured_bundle(plan)

    def run(self) -> None:
        """Run every part; the peers last, because they can take as long as they like.

        Raises:
            WrongNumbers: The device computes something else than torch does.
        """
        self._ends_at = time.monotonic() + self._seconds
        self._part("numbers", self._numbers)
        if self._plan.precision != "fp32":
            self._part("numbers in fp32", self._fp32_numbers)
        self._part("kernels", self._kernels)
        self._part("recordings", self._recordings)
        self._part("ceilings", self._ceilings)
        self._part("memory", self._memory)
        self._part("server", self._server)
        self._part("speed", self._speed)

    def _part(self, name: str, measure: Callable[[], None]) -> None:
        print(f"-- {name}", flush=True)
        begin = time.monotonic()
        if begin > self._ends_at:
            self.findings.failures[name] = "there was no time left for it"
        else:
            try:
                measure()
            except WrongNumbers:
                raise
            except Exception as error:
                print(error, file=sys.stderr, flush=True)
                self.findings.failures[name] = reason(error)
            self.findings.seconds[name] = time.monotonic() - begin
        write(self.findings, self._plan, self._folder)

    def _numbers(self) -> None:
        plan = self._plan
        self.findings.checked += check_numbers(plan, self._bundle, self._checkpoint, plan.lengths)

    def _fp32_numbers(self) -> None:
        bundle = fp32_bundle(self._plan)
        self.findings.checked += check_numbers(self._plan, bundle, self._checkpoint, self._plan.fp32_buckets)

    def _kernels(self) -> None:
        plan = self._plan
        self.findings.kernels = used_kernels(self._bundle, plan.device, plan.buckets, plan.answer_seconds)
        for length, names in self.findings.kernels.items():
            print(f"bucket {length}: {', '.join(names) or 'no attention kernel was printed'}", flush=True)

    def _recordings(self) -> None:
        self.findings.recorded = measure_recordings(self._plan, self._bundle)

    def _ceilings(self) -> None:
        config = read_checkpoint(self._checkpoint).config
        self.findings.ceilings = measure_ceilings(self._plan, config)

    def _memory(self) -> None:
        self.findings.memory = measure_memory(self._plan, self._bundle)

    def _server(self) -> None:
        # Needs packages of the service that nothing else here needs.
        from benchmarks.gpu.server import measure_server

        self.findings.served = measure_server(self._plan, self._bundle)

    def _speed(self) -> None:
        plan = self._plan
        config = read_checkpoint(self._checkpoint).config
        references = {}
        with LimitedWorker("reference", plan.answer_seconds, Reference, self._checkpoint, plan.device) as worker:
            worker.wait_until_made()
            for length in plan.lengths:
                references[length] = worker.call("logits", filled_batch(COMPARED_DOCUMENTS, length))
        with SpeedTest(gpu_contenders(plan, self._bundle, self._checkpoint), plan).loaded() as test:
            self.findings.remarks = test.remarks
            for length in plan.lengths:
                if time.monotonic() > self._ends_at:
                    self.findings.failures[f"speed at {length} tokens"] = "there was no time left for it"
                    continue
                self.findings.cells += test.measure(length, config, references[length])
                write(self.findings, plan, self._folder)


def missing_gpu() -> str | None:
    """Return in one line why there is nothing to measure on, or None."""
    if not torch.cuda.is_available():
        build = "is built without CUDA" if torch.version.cuda is None else "sees none"
        return f"no GPU: torch {torch.__version__} {build}; --dry-run-on-cpu rehearses the benchmark without one"
    if "CUDAExecutionProvider" not in onnxruntime.get_available_providers():
        return "no GPU: this onnxruntime is built without CUDA; install onnxruntime-gpu, and not onnxruntime beside it"
    return None


def exit_status(findings: Findings, plan: Plan) -> int:
    """Return what the process ends with."""
    if plan.is_judged:
        return REACHED if all(verdict.reached for verdict in verdicts(findings)) else MISSED
    return MISSED if findings.failures or any(cell.failure for cell in findings.cells) else REACHED


def main() -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prepare", action="store_true", help="make checkpoint and bundles, and measure nothing")
    parser.add_argument("--dry-run-on-cpu", action="store_true", help="rehearse with a small model on the CPU")
    parser.add_argument("--output", type=Path, help="folder of the report")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="no part begins after this time")
    arguments = parser.parse_args()
    plan = REHEARSAL if arguments.dry_run_on_cpu else MEASUREMENT
    if arguments.prepare:
        for make in (plan.checkpoint, lambda: measured_bundle(plan), lambda: fp32_bundle(plan)):
            print(make(), flush=True)
        return REACHED
    if plan.is_on_gpu and (missing := missing_gpu()) is not None:
        print(missing, file=sys.stderr)
        return NOT_MEASURED
    folder = arguments.output or (RESULTS if plan.is_judged else QUICK_RESULTS)
    # Importing takes seconds, and every part has processes of its own.
    multiprocessing.set_forkserver_preload(_PRELOADED)
    try:
        benchmark = GpuBenchmark(plan, folder, arguments.minutes * 60)
        benchmark.run()
    except (ExportError, WorkerFailed) as error:
        print(f"there is no bundle to measure: {reason(error)}", file=sys.stderr)
        return NOT_MEASURED
    except WrongNumbers as error:
        print(f"wrong numbers, so nothing was timed: {error}", file=sys.stderr)
        return NOT_MEASURED
    for part, why in benchmark.findings.failures.items():
        print(f"{part} failed: {why}", file=sys.stderr)
    if plan.is_judged:
        print("\n".join(str(verdict) for verdict in verdicts(benchmark.findings)))
    return exit_status(benchmark.findings, plan)


if __name__ == "__main__":
    sys.exit(main())
