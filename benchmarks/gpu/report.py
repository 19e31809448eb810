"""The table, the statements and the plot of the GPU benchmark, from what was found so far."""

import contextlib
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from benchmarks.gpu.cells import Cell, fastest
from benchmarks.gpu.contenders import DENSE_COMPILED, FLEX, TRANSFORMERS
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.targets import ceiling_share, comparisons, verdicts
from benchmarks.report import Row, write_report

if TYPE_CHECKING:
    from matplotlib.figure import Figure

NAME = "gpu"
TITLE = "Speed on a GPU"

_BASELINES = {"vs transformers": TRANSFORMERS, "vs dense, compiled": DENSE_COMPILED, "vs FlexAttention": FLEX}


def write(findings: Findings, plan: Plan, folder: Path) -> None:
    """Write what was found so far, over what was written before; without matplotlib there is no plot."""
    plot = None
    if any(cell.seconds for cell in findings.cells):
        with contextlib.suppress(ImportError):
            plot = figure(findings.cells)
    write_report(NAME, TITLE, rows(findings), notes(findings, plan), plot, folder)


def rows(findings: Findings) -> list[Row]:
    """Return the table: a row for each contender, variant and number of documents."""
    return [_row(findings, cell) for cell in findings.cells]


def _row(findings: Findings, cell: Cell) -> Row:
    row: Row = {
        "tokens": cell.length,
        "contender": cell.contender,
        "variant": cell.variant,
        "documents": cell.documents,
        "repeats": len(cell.seconds),
        "median ms": median(cell.seconds) * 1000 if cell.seconds else None,
        "fastest ms": min(cell.seconds) * 1000 if cell.seconds else None,
        "slowest ms": max(cell.seconds) * 1000 if cell.seconds else None,
        "documents/s": cell.documents_per_second,
        "tokens/s": None if cell.documents_per_second is None else cell.documents_per_second * cell.length,
        "share of ceiling": ceiling_share(findings, cell),
    }
    for column, baseline in _BASELINES.items():
        same_batch = [other for other in findings.cells if other.documents == cell.documents]
        other = fastest(same_batch, baseline, cell.length)
        row[column] = (
            cell.documents_per_second / other.documents_per_second
            if cell.documents_per_second and other is not None and other.documents_per_second
            else None
        )
    row["difference"] = cell.difference
    row["failed"] = cell.failure
    return row


def notes(findings: Findings, plan: Plan) -> list[str]:
    """Say what was found beside the times, how all of it came about, and what was aimed at."""
    lines = [] if plan.is_judged else ["A rehearsal with two small layers on a CPU: these times mean nothing."]
    lines += [f"{part} failed: {why}" for part, why in findings.failures.items()]
    lines += [str(verdict) for verdict in verdicts(findings)] if plan.is_judged else []
    lines += comparisons(findings.cells) if plan.is_judged else []
    lines += _part_notes(findings, plan)
    lines += [f"{name}: {remark}." for name, remark in findings.remarks.items()]
    lines += [
        f"{plan.model} in {plan.precision}, the same weights in all; documents that fill their "
        "length. A run is from ids in ordinary memory to logits there. Every contender in a process of its own, warmed "
        "at every shape; they take turns. Medians of repeats.",
        "vs: times as many documents per second as the best variant of that peer at the same number of documents.",
        "Share of ceiling: operations of the model's matrix products, along its own attention pattern, by the rate of "
        "the fastest of its matrix products alone.",
        "Difference: the largest of the logits of two documents from torch in fp32, in standard deviations of these; "
        "dense attention is another function above 704 tokens.",
        "Compiled peers: torch.compile of the layer with fixed shapes, and the whole pass as a CUDA graph.",
        "Seconds of the parts: " + ", ".join(f"{part} {took:.0f}" for part, took in findings.seconds.items()) + ".",
    ]
    return lines


def _part_notes(findings: Findings, plan: Plan) -> list[str]:
    lines = []
    for checked in findings.checked:
        parity = checked.parity
        lines.append(
            f"Numbers, {checked.precision}, bucket {checked.length:,}: at most {parity.max_abs_difference:.3g} from "
            f"torch in fp32, tolerance {parity.tolerance:.3g}, correlation {parity.correlation:.6f}."
        )
    for length, names in (findings.kernels or {}).items():
        chosen = ", ".join(f"{name} ({count} operators)" for name, count in names.items()) or "none printed"
        lines.append(f"Attention kernels, bucket {length:,}: {chosen}.")
    for length, documents in (findings.recorded or {}).items():
        counts = ", ".join(map(str, documents)) or "none"
        lines.append(f"CUDA graphs, bucket {length:,}: numbers of documents that were recorded: {counts}.")
    if findings.ceilings is not None:
        rates = "; ".join(f"{shape} {rate / 1e12:,.3g}" for shape, rate in findings.ceilings.products.items())
        lines.append(
            f"Ceilings: {plan.precision} matrix products in TFLOP/s: {rates}; copy within the memory "
            f"{findings.ceilings.copy / 1e9:,.0f} GB/s, read and written."
        )
        lines += [f"{key}: {value}" for key, value in findings.ceilings.facts.items()]
    if findings.memory is not None:
        alone = ", ".join(f"{length:,} {used >> 20:,} MiB" for length, used in findings.memory.alone.items())
        lines.append(
            f"Memory after batches of {plan.served_tokens:,} tokens: buckets alone {alone}; {findings.memory.buckets} "
            f"buckets together {findings.memory.together >> 20:,} MiB, {findings.memory.ratio:.2f} of the largest."
        )
    if findings.served is not None:
        served = findings.served
        lines.append(
            f"Server, log-normal lengths with a median of 900 tokens, {plan.connections} connections, batches of up to "
            f"{plan.served_tokens:,} tokens: {served.documents:,.0f} documents/s, {served.tokens:,.0f} tokens/s, "
            f"{served.share:.2f} of the bare executor's {served.bare_tokens:,.0f}; {served.batch:.1f} documents in a "
            f"batch; the load generator took {served.generator_cores:.2f} cores."
        )
    return lines


def figure(cells: Sequence[Cell]) -> "Figure":
    """Plot documents per second over the documents at a time, for each length the best variant of each contender."""
    from matplotlib.figure import Figure

    lengths = sorted({cell.length for cell in cells})
    names = list(dict.fromkeys(cell.contender for cell in cells))
    plot = Figure(figsize=(5 * len(lengths), 5), layout="constrained")
    for axes, length in zip(plot.subplots(1, len(lengths), squeeze=False)[0], lengths, strict=True):
        counts = sorted({cell.documents for cell in cells if cell.length == length})
        for name in names:
            best = [
                (count, cell.documents_per_second)
                for count in counts
                if (cell := fastest([each for each in cells if each.documents == count], name, length)) is not None
            ]
            axes.plot(*zip(*best, strict=True) if best else ([], []), marker="o", label=name)
        axes.set(xscale="log", yscale="log", xlabel="documents at a time", title=f"{length:,} tokens")
        axes.set_xticks(counts, [str(count) for count in counts])
        axes.minorticks_off()
        axes.grid(alpha=0.3)
    plot.axes[0].set_ylabel("documents/s")
    plot.legend(*plot.axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize="small")
    return plot
