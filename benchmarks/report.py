"""What every benchmark leaves behind: JSON for machines, a Markdown table for people, a plot.

benchmarks/results/<name>.json    the rows, unrounded, with the machine that they were measured on
benchmarks/results/<name>.md      the same rows rounded, and the notes that say how to read them
benchmarks/results/<name>.png     the plot, where there is one
"""

import contextlib
import datetime
import importlib.metadata
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bigbird_inference.runtime.cores import available_cores

if TYPE_CHECKING:
    from matplotlib.figure import Figure

RESULTS = Path(__file__).resolve().parent / "results"
QUICK_RESULTS = RESULTS / "quick"

# What is not installed is left out.
_PACKAGES = ("nncf", "numpy", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "transformers")
_INSTRUCTION_SETS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "avx512_bf16", "amx_int8", "amx_bf16")

Row = dict[str, object]


def write_report(
    name: str,
    title: str,
    rows: Sequence[Row],
    notes: Sequence[str],
    figure: "Figure | None" = None,
    folder: Path = RESULTS,
) -> None:
    """Write what was measured.

    Args:
        name: Of the files, without an ending.
        title: Of the Markdown page.
        rows: Of the table. A key is a column's heading and should say the unit; rows need not have the same keys, and
            columns stand in the order in which they were first met.
        notes: One statement each; Markdown is kept.
        figure: The plot; best made as `matplotlib.figure.Figure`, which needs no display and no global state.
        folder: Where to write.
    """
    folder.mkdir(parents=True, exist_ok=True)
    report = {"title": title, "machine": machine_facts(), "rows": list(rows), "notes": list(notes)}
    (folder / f"{name}.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    plot = None if figure is None else f"{name}.png"
    page = markdown(title, rows, notes, machine_facts(), plot)
    (folder / f"{name}.md").write_text(page, encoding="utf-8")
    if figure is not None:
        figure.savefig(folder / f"{name}.png", dpi=150, bbox_inches="tight")


def markdown(
    title: str, rows: Sequence[Row], notes: Sequence[str], machine: dict[str, object], plot: str | None
) -> str:
    """Return the page: the table, the notes, the machine, the plot."""
    lines = [f"# {title}", "", *table(rows), ""]
    if plot is not None:
        lines += [f"![{title}]({plot})", ""]
    lines += [f"- {note}" for note in notes]
    lines += [f"- {key}: {value}" for key, value in machine.items()]
    return "\n".join(lines) + "\n"


def table(rows: Sequence[Row]) -> list[str]:
    """Return the lines of a Markdown table; what a row does not have is left empty."""
    columns = list(dict.fromkeys(column for row in rows for column in row))
    lines = ["| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(_cell(row.get(column)) for column in columns) + " |" for row in rows]
    return lines


def _cell(value: object) -> str:
    """Round to three digits, but never cut the digits of a whole number: 1234.5 is 1,234, 0.012345 is 0.0123."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 100 else f"{value:#.3g}".rstrip(".")
    return str(value).replace("|", "\\|")


def machine_facts() -> dict[str, object]:
    """Return what a reader must know to compare figures from two machines."""
    flags = set(_cpu_field("flags").split())
    versions = {"python": platform.python_version()}
    for package in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[package] = importlib.metadata.version(package)
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "cpu": _cpu_field("model name") or platform.processor() or platform.machine(),
        "instruction sets": ", ".join(name for name in _INSTRUCTION_SETS if name in flags),
        "cores": available_cores(),
        "memory": f"{pages / 2**30:.0f} GiB",
        "system": f"{platform.system()} {platform.machine()}",
        "versions": ", ".join(f"{package} {version}" for package, version in versions.items()),
    }


def _cpu_field(name: str) -> str:
    """Return a field of the first processor, or nothing where the system does not tell."""
    cpuinfo = Path("/proc/cpuinfo")
    if not cpuinfo.exists():
        return ""
    for line in cpuinfo.read_text(encoding="utf-8").splitlines():
        key, _, value = line.partition(":")
        if key.strip() == name:
            return value.strip()
    return ""
