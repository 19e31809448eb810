"""Print what pyproject.toml requires for some extras, one requirement on a line, for pip.

The images install dependencies before, and apart from, our own code, so that a change of the code leaves their layers
as they are. pip alone cannot do that: it knows a project's dependencies only together with the project. From these
requirements lock_requirements.py makes the lists that the images install.

    python3 list_requirements.py cpu export > requirements.txt
"""

import sys
import tomllib
from pathlib import Path


def requirements(pyproject: Path, extras: list[str]) -> list[str]:
    """Return the project's own dependencies and those of the extras, sorted, each once.

    Raises:
        SystemExit: There is no such extra.
    """
    project = tomllib.loads(pyproject.read_text(encoding="utf-8"))["project"]
    optional: dict[str, list[str]] = project["optional-dependencies"]
    if unknown := sorted(set(extras) - set(optional)):
        raise SystemExit(f"{pyproject}: no extra named {', '.join(unknown)}; there are {', '.join(sorted(optional))}")
    return sorted({*project["dependencies"], *(line for extra in extras for line in optional[extra])})


if __name__ == "__main__":
    print("\n".join(requirements(Path("pyproject.toml"), sys.argv[1:])))
