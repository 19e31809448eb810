"""What must be reached on an H200, and whether it was."""

from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.gpu.cells import Cell, fastest
from benchmarks.gpu.contenders import DENSE_COMPILED, FLEX, OURS, TRANSFORMERS
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.kernels import all_fused

LONG, MEDIUM = 4096, 1024
BUCKETS = 9

FASTER_THAN_TRANSFORMERS = 5.0
FASTER_THAN_DENSE = 1.2
SHARE_OF_CEILING = 0.45
MOST_GROWTH = 4.4
SHARE_OF_BARE = 0.85
# Hard to reach while each of two sessions has the weights and an arena of its own; the target stays.
MOST_MEMORY = 1.15


@dataclass(frozen=True, slots=True)
class Verdict:
    """One target.

    Attributes:
        subject: What is measured.
        must: What it must be.
        found: What it is; None if it was not measured.
        reached: None if it was not measured.
    """

    subject: str
    must: str
    found: str | None
    reached: bool | None

    def __str__(self) -> str:
        if self.reached is None:
            return f"{self.subject}: not measured; must be {self.must}."
        return f"{self.subject}: {self.found}; must be {self.must}: {'reached' if self.reached else 'missed'}."


def verdicts(findings: Findings) -> list[Verdict]:
    """Hold what was found against the targets."""
    cells = findings.cells
    kernels = None if findings.kernels is None else all_fused(findings.kernels)
    recorded = findings.recorded
    missing = sum(not documents for documents in (recorded or {}).values())
    growth = _ratio(_rate(cells, OURS, MEDIUM), _rate(cells, OURS, LONG))
    served = None if findings.served is None else findings.served.share
    memory = findings.memory
    return [
        Verdict(
            "Attention in fused kernels",
            "in every bucket",
            None if kernels is None else "in every bucket" if kernels else "not in every bucket",
            kernels,
        ),
        Verdict(
            "CUDA graphs recorded",
            "in every bucket",
            None if recorded is None else f"in {len(recorded) - missing} of {len(recorded)} buckets",
            None if recorded is None else not missing,
        ),
        _at_least(
            f"{OURS}, {LONG:,} tokens, times as fast as {TRANSFORMERS}",
            FASTER_THAN_TRANSFORMERS,
            _ratio(_rate(cells, OURS, LONG), _rate(cells, TRANSFORMERS, LONG)),
        ),
        _at_least(
            f"{OURS}, {LONG:,} tokens, times as fast as {DENSE_COMPILED}",
            FASTER_THAN_DENSE,
            _ratio(_rate(cells, OURS, LONG), _rate(cells, DENSE_COMPILED, LONG)),
        ),
        *(
            _at_least(
                f"{OURS}, {length:,} tokens, share of the matrix-product ceiling at the largest batch",
                SHARE_OF_CEILING,
                ceiling_share(findings, largest_batch(cells, OURS, length)),
            )
            for length in (MEDIUM, LONG)
        ),
        _at_most(f"{OURS}, time of {LONG:,} tokens by that of {MEDIUM:,}", MOST_GROWTH, growth),
        _at_least("Server, share of the bare executor's tokens per second", SHARE_OF_BARE, served),
        _at_most(
            f"GPU memory of {BUCKETS} buckets by that of the largest alone",
            MOST_MEMORY,
            memory.ratio if memory is not None and memory.buckets == BUCKETS else None,
        ),
    ]


def comparisons(cells: Sequence[Cell]) -> list[str]:
    """Say what nothing must be reached in, but everybody will ask."""
    lines = []
    for length in sorted({cell.length for cell in cells}):
        for peer in (TRANSFORMERS, DENSE_COMPILED, FLEX):
            ratio = _ratio(_rate(cells, OURS, length), _rate(cells, peer, length))
            if ratio is not None:
                lines.append(f"{length:,} tokens: {OURS} {ratio:.2f} times as fast as {peer}, each at its best.")
    return lines


def ceiling_share(findings: Findings, cell: Cell | None) -> float | None:
    """Return a cell's operations per second by the rate of the fastest matrix product."""
    if cell is None or findings.ceilings is None or cell.documents_per_second is None:
        return None
    return cell.operations / cell.documents * cell.documents_per_second / findings.ceilings.product


def largest_batch(cells: Sequence[Cell], contender: str, length: int) -> Cell | None:
    """Return the fastest variant at the largest number of documents that the plan has for this length."""
    own = [cell for cell in cells if cell.contender == contender and cell.length == length]
    most = max((cell.documents for cell in own), default=0)
    return fastest([cell for cell in own if cell.documents == most], contender, length)


def _rate(cells: Sequence[Cell], contender: str, length: int) -> float | None:
    best = fastest(cells, contender, length)
    return None if best is None else best.documents_per_second


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above / below


def _at_least(subject: str, bound: float, found: float | None) -> Verdict:
    text = None if found is None else f"{found:.2f}"
    return Verdict(subject, f"at least {bound}", text, None if found is None else found >= bound)


def _at_most(subject: str, bound: float, found: float | None) -> Verdict:
    text = None if found is None else f"{found:.2f}"
    return Verdict(subject, f"at most {bound}", text, None if found is None else found <= bound)
