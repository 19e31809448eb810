"""Whether our numbers on the device are right, and what of a GPU is used to get them: before anything is timed.

    python -m benchmarks.gpu.numbers BUNDLE DEVICE FEATURES TOKENS...    run each bucket once

Numbers are compared as at export, by the same code: a bucket gets documents of several lengths, short ones among them;
the reference is torch in fp32 on each document alone, padded to whole blocks only. Compared are the first rung of the
ladder, and the rungs that the service would keep here.
"""

import os
import re
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict
from functools import cache, partial
from pathlib import Path

from benchmarks.gpu.contenders import OurSessions, RungLost, torch_model
from benchmarks.gpu.plan import ANSWER_SECONDS, Plan
from benchmarks.gpu.results import Cell, Cells
from benchmarks.limited_worker import LimitedWorker
from benchmarks.random_documents import random_batch
from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.gpu_trial import try_rungs
from bigbird_inference.runtime.cuda.features import GpuFeatures
from bigbird_inference.runtime.session import Shape
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.references import References
from model_export.export.signature import signature
from model_export.export.verify import Verifier

_BUCKET = re.compile(r"^bucket (\d+)$")
_KERNEL = re.compile(r"Operator=\S+.*\bSdpaKernel=(\w+)")


def measure_ladder(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield what became of each rung, tried as the service tries them at its start."""
    bundle = Bundle(plan.bundle.resolve(), read_manifest(plan.bundle))
    outcomes = try_rungs(bundle, plan.device, GpuFeatures(), threading.Event())
    for outcome in map(asdict, outcomes):
        yield {f"ladder/{outcome.pop('rung')}": outcome}


def measure_numbers(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield how far each bucket is from torch; a cell that is too far off, or not finite, has failed."""
    with LimitedWorker("numbers", ANSWER_SECONDS, _Numbers, plan.bundle, plan.checkpoint, plan.device) as worker:
        worker.wait_until_made()
        for name in missing:
            _, features, length = name.split("/")
            yield {name: worker.call("compare", features, int(length))}


class _Numbers:
    """Sessions and reference, in their process."""

    def __init__(self, bundle: Path, checkpoint: Path, device: str) -> None:
        self._sessions = cache(partial(OurSessions, bundle, device))
        manifest, model = read_manifest(bundle), torch_model(checkpoint)
        plans = [BucketPlan(bucket.length, bucket.attention) for bucket in manifest.buckets]
        references = References.of_model(model, signature(manifest.task, model.config))
        self._verifier = Verifier(references, plans, precision=manifest.precision)

    def compare(self, features: str, length: int) -> Cell:
        """Return how far a bucket is from torch, as a CUDA graph where one is recorded, or what is wrong with it."""
        sessions = self._sessions(features)
        try:
            parity = self._verifier.compare(length, sessions)
            recorded = sessions.record([Shape(len(parity.documents), length)])
            if recorded:
                parity = self._verifier.compare(length, sessions)
        except (ExportError, RungLost) as error:
            return {"failed": str(error)}
        figures = {"difference": parity.max_abs_difference, "tolerance": parity.tolerance}
        return {**figures, "correlation": parity.correlation, "recorded": bool(recorded)}


def measure_kernels(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
    """Yield the attention kernels of every bucket, which onnxruntime itself prints in a process that asks it to.

    It does so on standard output and past Python, a line for each attention operator and run.
    """
    lengths = [name.removeprefix("kernels/") for name in missing]
    command = [sys.executable, "-m", "benchmarks.gpu.numbers", str(plan.bundle), plan.device, plan.features, *lengths]
    environment = os.environ | {"ORT_ENABLE_ATTENTION_KERNEL_DEBUG_INFO": "1"}
    process = subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=ANSWER_SECONDS, check=True)
    kernels = parse_kernels(process.stdout.decode(errors="replace").splitlines())
    yield {f"kernels/{length}": operators for length, operators in kernels.items()}


def parse_kernels(lines: Iterable[str]) -> dict[int, Counter[str]]:
    """Return for each padded length how many operators ran in each kernel, from what the process printed."""
    kernels: dict[int, Counter[str]] = {}
    length = 0
    for line in lines:
        if bucket := _BUCKET.match(line):
            length = int(bucket[1])
            kernels[length] = Counter()
        elif length and (kernel := _KERNEL.search(line)):
            kernels[length][kernel[1]] += 1
    return kernels


if __name__ == "__main__":
    opened = OurSessions(Path(sys.argv[1]), *sys.argv[2:4])
    for tokens in map(int, sys.argv[4:]):
        print(f"bucket {tokens}", flush=True)
        opened.run(random_batch([0], tokens))
