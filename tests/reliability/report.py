"""What a reliability run found, in the one form that the table of `tests.reliability.soak` is made of.

Every area (`load`, `overload`, `loader_fuzz`, ...) is a module with `run(scale) -> Report`: at scale 1 it does what
docs/reliability.md promises, at a small scale the same in seconds, for the test beside it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Report:
    """The outcome of one area.

    Attributes:
        area: Its name.
        inputs: How much was tried: requests, files, reloads or kills.
        failures: Everything that broke a promise, a line each; empty is what everybody wants.
        lost: Requests that were accepted and never answered.
        wrong: Answers that differ from the answer alone.
        injected: How many faults were injected on purpose; all of them survived if there is no failure.
        facts: Measured figures by their names, as they should stand in the table.
    """

    area: str
    inputs: int
    failures: tuple[str, ...] = ()
    lost: int = 0
    wrong: int = 0
    injected: int = 0
    facts: Mapping[str, str] = field(default_factory=dict)
