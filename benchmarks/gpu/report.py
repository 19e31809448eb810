"""What was measured, for people: a page of all figures, the targets, and the GPU's section of docs/performance.md."""

import datetime
from pathlib import Path
from statistics import median
from typing import Any, NamedTuple

from benchmarks.gpu.contenders import CONTENDERS, DENSE, OURS, TRANSFORMERS
from benchmarks.gpu.results import Results
from benchmarks.report import Row, table

BEGIN, END = "<!-- gpu: begin -->", "<!-- gpu: end -->"
LONG, MEDIUM = 4096, 1024


class Target(NamedTuple):
    """What must be reached on an H200.

    Attributes:
        subject: What is measured.
        found: What it is, or None if it was not measured.
        bound: What it must be.
        is_upper: Whether it must be at most that, rather than at least.
    """

    subject: str
    found: float | None
    bound: float
    is_upper: bool = False

    @property
    def reached(self) -> bool:
        return self.found is not None and (self.found <= self.bound if self.is_upper else self.found >= self.bound)

    def row(self) -> Row:
        must = f"at {'most' if self.is_upper else 'least'} {self.bound:g}"
        found = "not measured" if self.found is None else f"{self.found:.2f}"
        return {"Target": self.subject, "Must be": must, "Measured": found}


def targets(results: Results) -> list[Target]:
    """Hold what was measured against what must be."""
    ours, transformers, dense = (best(results, name, LONG) for name in (OURS, TRANSFORMERS, DENSE))
    served = next((cell["server / bare"] for _, cell in results.under("server")), None)
    return [
        Target("Share of the buckets whose attention runs in fused kernels", share_of_fused(results), 1),
        Target(f"{LONG:,} tokens, times as fast as {TRANSFORMERS}", _ratio(ours, transformers), 5),
        Target(f"{LONG:,} tokens, times as fast as {DENSE}", _ratio(ours, dense), 1.2),
        *(
            Target(
                f"{tokens:,} tokens, share of the matrix-product ceiling at the saturating batch",
                share_of_ceiling(results, tokens),
                0.45,
            )
            for tokens in (MEDIUM, LONG)
        ),
        Target(
            f"Time of a document of {LONG:,} tokens, by that of one of {MEDIUM:,}",
            _ratio(best(results, OURS, MEDIUM), ours),
            4.4,
            is_upper=True,
        ),
        Target("Server on mixed traffic, share of the bare executor's tokens per second", served, 0.85),
        Target("GPU memory once all buckets ran, by that once one did", memory_ratio(results), 1.15, is_upper=True),
    ]


def speed_rows(results: Results) -> list[dict[str, Any]]:
    """Return a row for each contender, length and number of documents that was timed."""
    ceiling = max((cell["operations/s"] for _, cell in results.under("ceiling")), default=None)
    rows: list[dict[str, Any]] = []
    for (tokens, documents, contender), cell in results.under("speed"):
        seconds, count = cell["seconds"], int(documents)
        rate = count / median(seconds)
        rows.append(
            {
                "tokens": int(tokens),
                "documents": count,
                "contender": contender,
                "repeats": len(seconds),
                "median ms": median(seconds) * 1000,
                "fastest ms": min(seconds) * 1000,
                "slowest ms": max(seconds) * 1000,
                "documents/s": rate,
                "tokens/s": rate * int(tokens),
                "share of ceiling": cell["operations"] / median(seconds) / ceiling if ceiling else None,
                "difference": cell["difference"],
                "remark": cell["remark"],
            }
        )
    return rows


def best(results: Results, contender: str, tokens: int) -> float | None:
    """Return a contender's documents per second at the batch that suits it best."""
    own = (row for row in speed_rows(results) if (row["contender"], row["tokens"]) == (contender, tokens))
    return max((row["documents/s"] for row in own), default=None)


def share_of_ceiling(results: Results, tokens: int) -> float | None:
    """Return our share of the rate of the fastest matrix product, at the largest batch."""
    own = [row for row in speed_rows(results) if (row["contender"], row["tokens"]) == (OURS, tokens)]
    return max(own, key=lambda row: int(row["documents"]))["share of ceiling"] if own else None


def share_of_fused(results: Results) -> float | None:
    """Return in how many of the buckets all attention ran in kernels that onnxruntime calls ..._ATTENTION."""
    fused = [bool(cell) and all(name.endswith("_ATTENTION") for name in cell) for _, cell in results.under("kernels")]
    return sum(fused) / len(fused) if fused else None


def memory_ratio(results: Results) -> float | None:
    """Return the memory once all buckets ran, by that once the one that takes most ran alone; all graphs are loaded."""
    found = {length: cell["bytes"] for (length,), cell in results.under("memory")}
    together = found.pop("all", None)
    return together / max(found.values()) if together and found else None


def _ratio(above: float | None, below: float | None) -> float | None:
    return None if above is None or below is None else above / below


def write_page(results: Results, folder: Path) -> None:
    """Write every figure, beside the file that holds them."""
    cells = {
        part: [{part: "/".join(rest), **cell} for rest, cell in results.under(part)]
        for part in ("ladder", "numbers", "kernels", "ceiling", "memory", "server")
    }
    gaps = [f"- no figures of {name}: {why}" for name, why in results.gaps.items()]
    facts = [f"- {name}: {fact}" for name, fact in results.facts.items()]
    page = _tables("# Speed on a GPU", _target_rows(results), speed_rows(results), *cells.values())
    (folder / "gpu.md").write_text("\n".join([page, "", *gaps, *facts, ""]), encoding="utf-8")


def fill_docs(results: Results, page: Path) -> None:
    """Replace what a page has between its marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n\n{section(results)}\n\n{END}{after}", encoding="utf-8")


def section(results: Results) -> str:
    """Return the targets with what was reached, what became of the rungs, and everybody's best speed at each length."""
    if not results.cells:
        return _tables("**Nothing on this page has been measured on a GPU yet.**", _target_rows(results))
    today, facts = datetime.datetime.now(datetime.UTC).date(), results.facts
    said = f"Written by `python -m benchmarks.gpu` on {today}: {facts.get('gpu', 'no GPU')}; {facts['versions']}.\n"
    said += f"Figures that are missing: {len(results.gaps)} ([all](../benchmarks/results/gpu.md))."
    lengths = sorted({row["tokens"] for row in speed_rows(results)})
    speeds: list[Row] = [
        {"Documents per second": name, **{f"{tokens:,} tokens": best(results, name, tokens) for tokens in lengths}}
        for name in CONTENDERS
    ]
    rungs: list[Row] = [{"Rung": rung, **cell} for (rung,), cell in results.under("ladder")]
    return _tables(said, _target_rows(results), rungs, speeds)


def _target_rows(results: Results) -> list[Row]:
    return [target.row() for target in targets(results)]


def _tables(head: str, *tables: list[Row]) -> str:
    return "\n\n".join([head, *("\n".join(table(rows)) for rows in tables if rows)])
