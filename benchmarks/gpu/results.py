"""What has been measured so far, in one JSON file: cells by the name of what was measured.

    ladder/RUNG                           whether it is kept, and if not, why
    numbers/FEATURES/TOKENS               how far a bucket is from torch
    kernels/TOKENS                        attention kernels of a bucket
    ceiling/ROWS x INNER x COLUMNS        rate of a matrix product
    memory/TOKENS, memory/all             of one bucket alone, of all together
    server                                what it delivers on mixed traffic
    speed/TOKENS/DOCUMENTS/CONTENDER      seconds of a run

A cell without figures holds `failed`, the reason, or `unmeasured`, the reason: the time was over or the part ended
early, and the next call tries it again.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

Cell = Mapping[str, Any]
Cells = Mapping[str, Cell]


class Results:
    """The cells of one machine, with the same versions and the same code.

    Args:
        file: Where they are kept; cells there that have other facts are put aside.
        facts: What must be the same for figures to be compared.
    """

    def __init__(self, file: Path, facts: Mapping[str, str]) -> None:
        self.facts = facts
        self.cells: dict[str, Cell] = {}
        self._file = file
        if file.exists():
            kept = json.loads(file.read_text(encoding="utf-8"))
            if kept["facts"] == facts:
                self.cells = kept["cells"]
            else:
                file.rename(file.with_suffix(".before.json"))

    def missing(self, names: Iterable[str]) -> list[str]:
        """Return the names of those that are still to be measured."""
        return [name for name in names if name not in self.cells or "unmeasured" in self.cells[name]]

    def keep(self, cells: Cells) -> None:
        """Take cells, in place of those of the same names, and write the file."""
        self.cells.update(cells)
        self._file.parent.mkdir(parents=True, exist_ok=True)
        text = json.dumps({"facts": self.facts, "cells": self.cells}, indent=1)
        self._file.write_text(f"{text}\n", encoding="utf-8")

    def under(self, part: str) -> Iterator[tuple[list[str], Cell]]:
        """Yield the cells of a part that have figures, each with the rest of its name."""
        for name, cell in self.cells.items():
            first, *rest = name.split("/")
            if first == part and not {"failed", "unmeasured"} & cell.keys():
                yield rest, cell

    @property
    def gaps(self) -> dict[str, str]:
        """Why cells have no figures, by their names."""
        return {
            name: str(cell[gap]) for name, cell in self.cells.items() for gap in ("failed", "unmeasured") if gap in cell
        }
