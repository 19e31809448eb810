"""The list of public checkpoints, `public_checkpoints.toml`, read for the page and for the check."""

import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

LIST = Path(__file__).with_suffix(".toml")


@dataclass(frozen=True, slots=True)
class PublicCheckpoint:
    """A checkpoint that others published; what is not known of it is empty. The list says what each field is."""

    id: str
    task: str
    sources: tuple[str, ...]
    language: str = ""
    weights: str = ""
    size: str = ""
    tokenizer: str = ""
    licence: str = ""
    special: str = ""
    options: tuple[str, ...] = ()
    problem: str = ""
    run: str = ""

    @property
    def name(self) -> str:
        """The name of its bundle."""
        return self.id.partition("@")[0].partition(":")[0].rpartition("/")[2].lower()

    @property
    def command(self) -> tuple[str, ...]:
        """Arguments of `bigbird`."""
        return ("export", self.id, "--output", f"bundles/{self.name}", *self.options)


def read_list(path: Path = LIST) -> list[PublicCheckpoint]:
    """Return the checkpoints of a list.

    Raises:
        TypeError: An entry has a field that there is not, or lacks its id or task.
    """
    entries: list[dict[str, Any]] = tomllib.loads(path.read_text(encoding="utf-8"))["checkpoint"]
    return [
        PublicCheckpoint(**entry | {key: tuple(entry.get(key, ())) for key in ("sources", "options")})
        for entry in entries
    ]
