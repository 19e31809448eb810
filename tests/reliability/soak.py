"""Every reliability area at full length, one after the other, each in a process of its own; in the end one table.

    python -m tests.reliability.soak                       everything: about 50 minutes on 2 cores
    python -m tests.reliability.soak --areas load faults   some of it
    python -m tests.reliability.soak --resume              what has not passed yet
    python -m tests.reliability.soak --scale 0.01          a rehearsal

The results are kept after each area, so that a run that was stopped can be resumed. The exit status is 1 if anything
broke a promise.
"""

import argparse
import dataclasses
import importlib
import json
import os
import shlex
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.report import QUICK_RESULTS, RESULTS, Row, machine_facts, table
from tests.reliability.report import Report
from tests.reliability.served import BUNDLES_VARIABLE, ROOT, demo_bundles

AREAS = (
    "load",
    "overload",
    "shares",
    "slow_clients",
    "large_answers",
    "probes",
    "faults",
    "reload_under_load",
    "kill_nine",
    "openapi",
    "raw_http",
    "fields",
    "stalls",
    "loader_fuzz",
)
# Facts that have a column; the others stand below the table.
_COLUMNS = ("answers", "memory growth", "worst recovery")
_LONGEST_SECONDS = 3600
_SHOWN_FAILURES = 20
_BEGIN, _END = "<!-- soak: begin -->", "<!-- soak: end -->"

Result = dict[str, Any]
"""A report's fields, and the seconds that it took."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the areas and return the exit status."""
    options = _parser().parse_args(arguments)
    if options.only is not None:
        _run_here(options.only, options.scale, options.output)
        return 0
    output = options.output or (RESULTS if options.scale == 1 else QUICK_RESULTS)
    output.mkdir(parents=True, exist_ok=True)
    if options.bundles is not None:
        os.environ[BUNDLES_VARIABLE] = str(options.bundles.resolve())
    demo_bundles()
    kept = _kept(output) if options.resume else {}
    for area in options.areas:
        if area in kept and not kept[area]["failures"]:
            _say(f"{area}: kept from an earlier run")
            continue
        _say(f"{area}: begins")
        kept[area] = _run_in_a_process(area, options.scale)
        _write(output, kept, options)
        for failure in kept[area]["failures"][:_SHOWN_FAILURES]:
            _say(f"{area}: FAILED: {failure}")
        _say(f"{area}: {len(kept[area]['failures'])} failures after {kept[area]['seconds']:.0f} s")
    results = {area: kept[area] for area in AREAS if area in kept}
    page = _page(results, options)
    print(page)
    if options.docs is not None:
        _write_between_marks(options.docs, page)
    return int(any(results[area]["failures"] for area in results))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.reliability.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--areas", nargs="+", choices=AREAS, default=AREAS, metavar="AREA", help=", ".join(AREAS))
    parser.add_argument("--scale", type=float, default=1.0, help="1 is the full length")
    parser.add_argument("--bundles", type=Path, help="folder of the demo bundles; otherwise they are exported first")
    parser.add_argument("--output", type=Path, help="folder for reliability.json and reliability.md")
    parser.add_argument("--docs", type=Path, help="page whose table is replaced")
    parser.add_argument("--resume", action="store_true", help="keep areas that passed in the run before")
    parser.add_argument("--only", help=argparse.SUPPRESS)
    return parser


def _say(text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)


def _run_in_a_process(area: str, scale: float) -> Result:
    """Run an area so that nothing that it does, not even its end, harms the others."""
    begun_at = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        command = ["-m", "tests.reliability.soak", "--only", area, "--scale", str(scale), "--output", str(file)]
        try:
            status = subprocess.run([sys.executable, *command], cwd=ROOT, timeout=_LONGEST_SECONDS).returncode
            problem = f"the area's process ended with status {status}"
        except subprocess.TimeoutExpired:
            problem = f"the area had not ended after {_LONGEST_SECONDS} s"
        if file.is_file():
            report: Result = json.loads(file.read_text(encoding="utf-8"))
        else:
            report = dataclasses.asdict(Report(area, 0, failures=(problem,)))
    return {**report, "seconds": time.monotonic() - begun_at, "scale": scale}


def _run_here(area: str, scale: float, file: Path) -> None:
    try:
        report = importlib.import_module(f"tests.reliability.{area}").run(scale)
    except Exception as error:
        traceback.print_exc()
        report = Report(area, 0, failures=(f"the area itself failed: {error!r}",))
    file.write_text(json.dumps({**dataclasses.asdict(report), "facts": dict(report.facts)}), encoding="utf-8")


def _kept(output: Path) -> dict[str, Result]:
    file = output / "reliability.json"
    kept: dict[str, Result] = json.loads(file.read_text(encoding="utf-8"))["areas"] if file.is_file() else {}
    return kept


def _write(output: Path, results: Mapping[str, Result], options: argparse.Namespace) -> None:
    facts = {"command": _command(options), "machine": machine_facts(), "areas": results}
    (output / "reliability.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
    (output / "reliability.md").write_text("# Reliability\n\n" + _page(results, options), encoding="utf-8")


def _command(options: argparse.Namespace) -> str:
    areas = [] if options.areas == AREAS else ["--areas", *options.areas]
    scale = [] if options.scale == 1 else ["--scale", str(options.scale)]
    return shlex.join(["python", "-m", "tests.reliability.soak", *areas, *scale])


def _page(results: Mapping[str, Result], options: argparse.Namespace) -> str:
    lines = [*table([_row(area, result) for area, result in results.items()]), ""]
    lines += [f"- {area}: {_other_facts(result)}" for area, result in results.items() if _other_facts(result)]
    lines += [f"- FAILED, {area}: {failure}" for area, result in results.items() for failure in result["failures"][:5]]
    lines += [f"- command: `{_command(options)}`"]
    lines += [f"- {key}: {value}" for key, value in machine_facts().items()]
    return "\n".join(lines) + "\n"


def _row(area: str, result: Result) -> Row:
    return {
        "area": area.replace("_", " "),
        "inputs": result["inputs"],
        **{name: result["facts"].get(name) for name in _COLUMNS},
        "lost": result["lost"],
        "wrong": result["wrong"],
        "faults injected": result["injected"],
        "failures": len(result["failures"]),
        "seconds": round(result["seconds"]),
    }


def _other_facts(result: Result) -> str:
    return "; ".join(f"{name} {value}" for name, value in result["facts"].items() if name not in _COLUMNS)


def _write_between_marks(page: Path, text: str) -> None:
    before, _, rest = page.read_text(encoding="utf-8").partition(_BEGIN)
    _, _, after = rest.partition(_END)
    page.write_text(f"{before}{_BEGIN}\n\n{text}\n{_END}{after}", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
