"""Spoilt files for everything that reads a file somebody else wrote: bundles, checkpoints, vocabularies.

Each loader is tried in a process of its own (`fuzzed_loaders`): a crash in C++ or a hang is seen, and not shared.
"""

import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tests.reliability.report import Report

ROOT = Path(__file__).parents[2]
INPUTS = {
    "manifest": 25_000,
    "config": 17_000,
    "adapter config": 1_000,
    "tokenizer config": 5_000,
    "safetensors": 12_000,
    "shard index": 7_000,
    "pickle": 10_000,
    "msgpack": 7_000,
    "vocabulary": 6_000,
    "tokenizer.json": 3_000,
    "tokenizer.json of a bundle": 3_000,
    "tensorflow index": 4_000,
}
"""Inputs of the full run: 100,000. Those whose loading is slow get fewer."""

_PROCESSES = 2
_SECONDS = 3600
_MOST_MEMORY = 2**30


def run(scale: float) -> Report:
    """Fuzz every loader.

    Args:
        scale: 1 for 100,000 inputs.
    """
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(_PROCESSES) as threads:
        work = [
            (name, max(20, round(count * scale)), Path(folder) / name.replace(" ", "-"))
            for name, count in INPUTS.items()
        ]
        outcomes = list(threads.map(lambda item: _outcome(*item), work))
    return Report(
        area="loader_fuzz",
        inputs=sum(outcome["inputs"] for outcome in outcomes),
        failures=tuple(failure for outcome in outcomes for failure in outcome["failures"]),
        injected=sum(outcome["inputs"] for outcome in outcomes),
        facts={
            "files loaded": f"{sum(outcome['loaded'] for outcome in outcomes):,}",
            "files refused in one line": f"{sum(outcome['refused'] for outcome in outcomes):,}",
            "slowest file": f"{max(outcome['slowest'] for outcome in outcomes):.2f} s of a core",
            "most memory for a file": f"{max(outcome['peak_bytes'] for outcome in outcomes) / 2**20:.0f} MiB",
        },
    )


def _outcome(name: str, inputs: int, folder: Path) -> Mapping[str, Any]:
    """Fuzz one loader in its process; what ends the process is a failure with the input that did it."""
    command = [sys.executable, "-m", "tests.reliability.fuzzed_loaders", name, str(inputs), "0", str(folder)]
    tried: dict[str, Any] = {"inputs": inputs, "loaded": 0, "refused": 0, "slowest": 0.0, "peak_bytes": 0}
    try:
        ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return {**tried, "failures": [f"{name}: not done after {_SECONDS} s"]}
    if ended.returncode != 0:
        last = ended.stderr.strip().splitlines()[-1:] or ["no message"]
        return {**tried, "failures": [f"{name}: the process ended with status {ended.returncode}: {last[0]}"]}
    outcome = json.loads(ended.stdout.splitlines()[-1])
    if outcome["peak_bytes"] > _MOST_MEMORY:
        outcome["failures"].append(f"{name}: a file took {outcome['peak_bytes']} bytes of memory")
    return dict(outcome)


if __name__ == "__main__":
    print(run(float(sys.argv[1]) if sys.argv[1:] else 1.0))
