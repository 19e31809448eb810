"""How well the service uses a GPU: its numbers, the ladder of GPU features, speed, memory, the whole server.

    python -m benchmarks.gpu                 everything, in 25 minutes, on a GPU host
    python -m benchmarks.gpu --minutes 10    as much as that allows; the next call goes on with what is missing
    python -m benchmarks.gpu --device cpu    the same code with a small model, where there is no GPU

Figures go to gpu.json and gpu.md in benchmarks/results, and into the GPU's section of docs/performance.md. Nothing is
downloaded. Numbers are checked first: if they are wrong, nothing is timed. Otherwise every part survives the failure of
another, and what was found is written after each step. Cells of gpu.json are kept for as long as machine, versions and
code are the same.

Exit status: 0 if every target was reached, 1 if one was missed or could not be measured, 2 if nothing was timed because
there is no GPU, no bundle, or its numbers are wrong. On a CPU nothing is judged: 1 if a figure is missing.
"""

import argparse
import hashlib
import multiprocessing
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.base_checkpoint import ROOT
from benchmarks.gpu import numbers, report, serving, speed
from benchmarks.gpu.contenders import CONTENDERS
from benchmarks.gpu.plan import CPU, FIRST_RUNG, ON_A_CPU, Plan, plan_for
from benchmarks.gpu.results import Cells, Results
from benchmarks.limited_worker import reason
from benchmarks.report import QUICK_RESULTS, RESULTS, machine_facts
from benchmarks.worker import WorkerFailed
from bigbird_inference.runtime.cuda.features import RUNGS
from bigbird_inference.runtime.cuda.nvml import open_nvml
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.runtime.devices import DeviceUnavailable
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

MINUTES = 25.0
REACHED, MISSED, NOT_MEASURED = 0, 1, 2

_PRELOADED = ["benchmarks.gpu.numbers", "benchmarks.gpu.serving", "benchmarks.gpu.speed", "torch._dynamo"]
_MEASURED_CODE = ("benchmarks/gpu", "bigbird_inference", "model_export", "service")


class Part(NamedTuple):
    """What is measured in one go: names the cells that a plan asks for, and yields those that are missing."""

    name: str
    cells: Callable[[Plan], Sequence[str]]
    measure: Callable[[Plan, Sequence[str]], Iterator[Cells]]


def _number_cells(plan: Plan) -> list[str]:
    compared = dict.fromkeys((FIRST_RUNG, plan.features))
    return [f"numbers/{features}/{length}" for features in compared for length in plan.buckets]


def _product_cells(plan: Plan) -> list[str]:
    # The products of a layer with its weights.
    rows, width = plan.saturating_tokens, plan.width
    return [f"ceiling/{rows} x {inner * width} x {columns * width}" for inner, columns in ((1, 1), (1, 4), (4, 1))]


def _speed_cells(plan: Plan) -> list[str]:
    shapes = [f"{length}/{documents}" for length in plan.lengths for documents in plan.documents_at(length)]
    return [f"speed/{shape}/{contender}" for shape in shapes for contender in CONTENDERS]


PARTS = (
    Part("ladder", lambda plan: [f"ladder/{rung}" for rung in RUNGS], numbers.measure_ladder),
    Part("numbers", _number_cells, numbers.measure_numbers),
    Part("kernels", lambda plan: [f"kernels/{length}" for length in plan.buckets], numbers.measure_kernels),
    Part("ceiling", _product_cells, speed.measure_ceiling),
    Part("memory", lambda plan: [f"memory/{each}" for each in (*plan.lengths, "all")], serving.measure_memory),
    Part("server", lambda plan: ["server/mixed"], serving.measure_server),
    Part("speed", _speed_cells, speed.measure_speed),
)


def run(plan: Plan, results: Results, ends_at: float, write: Callable[[], None]) -> str | None:
    """Measure what is missing; return why the first rung's numbers are wrong: then no time would mean anything.

    Args:
        plan: What is measured.
        results: What was measured before; what is found is kept there.
        ends_at: Nothing is begun after this time of the monotonic clock.
        write: Writes what was found so far, for people.
    """
    for part in PARTS:
        plan = replace(plan, features=kept_features(results))
        if missing := results.missing(part.cells(plan)):
            print(f"-- {part.name}: {len(missing)} to measure", flush=True)
            _fill(part, plan, results, missing, ends_at)
            write()
        for name, why in results.gaps.items():
            if _has_numbers_of(name, FIRST_RUNG):
                return f"{name}: {why}"
    return None


def _fill(part: Part, plan: Plan, results: Results, missing: Sequence[str], ends_at: float) -> None:
    why = "no time was left"
    try:
        if time.monotonic() < ends_at:
            for cells in part.measure(plan, missing):
                results.keep(cells)
                if time.monotonic() > ends_at:
                    break
            else:
                why = "nothing was found"
    except Exception as error:
        print(error, file=sys.stderr, flush=True)
        why = reason(error)
    results.keep({name: {"unmeasured": why} for name in results.missing(missing)})


def kept_features(results: Results) -> str:
    """Return the rungs that the ladder kept, as `BIGBIRD_GPU_FEATURES` has them; none if their numbers are wrong."""
    features = ",".join(rung for (rung,), cell in results.under("ladder") if cell["state"] == "on") or FIRST_RUNG
    return FIRST_RUNG if any(_has_numbers_of(name, features) for name in results.gaps) else features


def _has_numbers_of(cell: str, features: str) -> bool:
    return cell.startswith("numbers/") and cell.split("/")[1] == features


def missing_gpu() -> str | None:
    """Return in one line why there is nothing to measure on, or None."""
    if not torch.cuda.is_available():
        build = "is built without CUDA" if torch.version.cuda is None else "sees none"
        return f"no GPU: torch {torch.__version__} {build}; --device cpu runs the benchmark's code without one"
    try:
        MachineProbe().count_gpus()
    except DeviceUnavailable as error:
        return f"no GPU: {error}"
    return None


def facts(plan: Plan) -> dict[str, str]:
    """Return what must be the same for figures to be compared: machine, versions, model, code."""
    code = hashlib.sha256()
    for file in sorted(file for folder in _MEASURED_CODE for file in (ROOT / folder).rglob("*.py")):
        code.update(file.read_bytes())
    found = {name: str(fact) for name, fact in machine_facts().items() if name != "date"}
    found |= {"model": f"{plan.layers} layers, {plan.width} wide, random weights", "code": code.hexdigest()[:12]}
    if plan.device != CPU:
        gpu = torch.cuda.get_device_properties(plan.device)
        memory, cudnn = gpu.total_memory / 2**30, torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
        driver = open_nvml().nvmlSystemGetDriverVersion()
        found["gpu"] = f"{gpu.name}, {gpu.multi_processor_count} multiprocessors, {memory:.0f} GiB; driver {driver}"
        built_for = getattr(onnxruntime, "cuda_version", "unknown")
        found["cuda"] = f"onnxruntime's {built_for}; torch's {torch.version.cuda} with cuDNN {cudnn}"
    return found


def exit_status(results: Results, plan: Plan) -> int:
    """Return what the process ends with."""
    if plan.device == CPU:
        return MISSED if results.gaps else REACHED
    return REACHED if all(target.reached for target in report.targets(results)) else MISSED


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark from the command line and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", CPU), default="cuda", help="cpu: a small model, nothing judged")
    parser.add_argument("--minutes", type=float, default=MINUTES, help="nothing is begun after this time")
    parser.add_argument("--output", type=Path, help="folder of gpu.json and gpu.md")
    parser.add_argument("--docs", type=Path, help="page whose GPU section is filled")
    options = parser.parse_args(arguments)
    ends_at = time.monotonic() + options.minutes * 60
    if options.device == CPU:
        plan, folder, page = ON_A_CPU, options.output or QUICK_RESULTS, options.docs
    elif (problem := missing_gpu()) is not None:
        print(problem, file=sys.stderr)
        return NOT_MEASURED
    else:
        plan = plan_for(torch.cuda.get_device_properties(0).total_memory)
        folder, page = options.output or RESULTS, options.docs or ROOT / "docs" / "performance.md"
    # Importing takes seconds, and every part has processes of its own.
    multiprocessing.set_forkserver_preload(_PRELOADED)
    results = Results(folder / "gpu.json", facts(plan))

    def write() -> None:
        report.write_page(results, folder)
        if page is not None:
            report.fill_docs(results, page)

    try:
        print(plan.bundle, flush=True)
    except WorkerFailed as error:
        print(f"there is no bundle to measure: {reason(error)}", file=sys.stderr)
        return NOT_MEASURED
    if (wrong := run(plan, results, ends_at, write)) is not None:
        print(f"nothing is timed before the numbers of the first rung are right: {wrong}", file=sys.stderr)
        return NOT_MEASURED
    for name, why in results.gaps.items():
        print(f"{name}: {why}", file=sys.stderr)
    print(report.section(results))
    return exit_status(results, plan)


if __name__ == "__main__":
    sys.exit(main())
