"""Which package each kind of document is in: the table `sources.toml`."""

import tomllib
from pathlib import Path

from scripts.packages import Package

_SOURCES = Path(__file__).parent / "sources.toml"


def package_of(source: str) -> Package:
    """Return the package that a source is in."""
    values = tomllib.loads(_SOURCES.read_text(encoding="utf-8"))[source]
    return Package(**{name: value for name, value in values.items() if name != "terms"})
