"""The rungs of a GPU, tried in a process of their own before a bundle is loaded in the one that serves.

A rung may raise, which is caught wherever it happens; it may also crash the process, or never return. So each is opened
there, compared and timed, upon those that were kept before it:

    python -m bigbird_inference.gpu_trial FOLDER DEVICE RUNGS PINNED MEMORY_LIMIT_BYTES

and says, a line of JSON each, what it is about to try and what became of it. When the process dies or its time is over,
what it was about to try is to blame; another process goes on without that. If it was the first rung, the bundle cannot
be served.
"""

import json
import os
import sys
import threading
from dataclasses import asdict
from pathlib import Path

from bigbird_inference.bundle import Bundle, read_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.host_memory import available_bytes
from bigbird_inference.known_answer import climb
from bigbird_inference.manifest import Attention, Manifest
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungName, RungOutcome, said_by
from bigbird_inference.runtime.cuda.ladder import Ladder
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import CPU
from bigbird_inference.runtime.session import Shape
from bigbird_inference.trial import Limits, end_with_whoever_waits, failure, refuse, run_apart

# By the clock: a GPU that hangs need not use the processor. Loading CUDA's libraries alone takes seconds.
_SECONDS, _SECONDS_PER_MEGABYTE = 120.0, 0.1


def try_rungs(
    bundle: Bundle,
    device: str,
    features: GpuFeatures,
    given_up: threading.Event,
    *,
    memory_limit_bytes: int = 0,
    seconds: float | None = None,
) -> list[RungOutcome]:
    """Return what becomes of the rungs that are asked for; blocks for as long as that takes.

    `device` and `memory_limit_bytes` are as in `CudaDevice`. A process is ended after `seconds`, by default by the size
    of the weights, or when `given_up` is set.

    Raises:
        BundleError: Not even the first rung answers, or the trial was given up.
    """
    seconds = seconds or _SECONDS + _SECONDS_PER_MEGABYTE * bundle.manifest.weights.bytes / 2**20
    limits = Limits(available_bytes() or sys.maxsize, seconds, least_share=1.0)
    outcomes: dict[RungName, RungOutcome] = {}
    while True:
        left = tuple(rung for rung in features.rungs if rung not in outcomes or outcomes[rung].state == "on")
        asked = ",".join(left) or "none"
        arguments = [str(bundle.folder), device, asked, str(int(features.pinned)), str(memory_limit_bytes)]
        ended = run_apart("bigbird_inference.gpu_trial", arguments, limits, given_up)
        trying: RungName | None = None
        for line in ended.output.splitlines():
            if not line.startswith("{"):
                continue
            told = json.loads(line)
            if "trying" in told:
                trying = told["trying"]
            else:
                outcomes[told["rung"]] = RungOutcome(**told)
        if ended.status == 0 and ended.error is None:
            return [outcomes[rung] for rung in features.rungs]
        if trying is None or given_up.is_set():
            error = ended.error or failure(ended.status, ended.output)
            raise BundleError(f"{bundle.folder}: on {device}: {said_by(error)}") from error.__cause__
        reason = said_by(failure(ended.status, ended.output))
        if ended.error is not None:
            reason = f"its trial had not ended after {limits.seconds:.0f} s"
        elif ended.status < 0:
            reason = f"the process that tried it ended with signal {-ended.status}"
        outcomes[trying] = RungOutcome(trying, "failed", reason)


def main(folder: Path, device: str, features: GpuFeatures, memory_limit_bytes: int) -> int:
    """Try the rungs one after the other; return the exit status."""
    end_with_whoever_waits()
    try:
        if device != CPU and (problem := MachineProbe().failure_on(int(device.partition(":")[2]))) is not None:
            raise BundleError(problem)
        bundle = Bundle(folder, read_manifest(folder))
        kept: tuple[RungName, ...] = ()
        for rung in (None, *features.rungs):
            _tell({"trying": rung})
            tried = GpuFeatures(kept if rung is None else (*kept, rung), features.pinned)
            ladder = CudaDevice(device, memory_limit_bytes=memory_limit_bytes, features=tried).open(bundle).ladder
            assert ladder is not None
            climb(ladder)
            _record(ladder, bundle.manifest)
            outcome = next((each for each in ladder.outcomes if each.rung == rung), None)
            if outcome is not None:
                _tell(asdict(outcome))
                kept += (outcome.rung,) if outcome.state == "on" else ()
    except Exception as error:
        return refuse(error)
    return 0


def _record(ladder: Ladder, manifest: Manifest) -> None:
    """Let a rung that records do so with single sequences, and ask everything again."""
    lengths: dict[Attention, list[int]] = {}
    for bucket in manifest.buckets:
        lengths.setdefault(bucket.attention, []).append(bucket.length)
    for attention, session in ladder.sessions.items():
        session.capture([Shape(1, length) for length in {min(lengths[attention]), max(lengths[attention])}])
    for session in ladder.sessions.values():
        session.drop_wrong_captures()
    ladder.check()


def _tell(line: object) -> None:
    print(json.dumps(line), flush=True)


if __name__ == "__main__":
    # Python would take onnxruntime down in order, for nothing.
    asked = GpuFeatures(GpuFeatures.parse(sys.argv[3]).rungs, bool(int(sys.argv[4])))
    os._exit(main(Path(sys.argv[1]), sys.argv[2], asked, int(sys.argv[5])))
