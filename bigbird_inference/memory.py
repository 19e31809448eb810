"""What a run needs in memory, and what the machine has left (Linux; elsewhere unknown).

Only anonymous memory counts: what is mapped from files the system may drop and read again.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_MACHINE = Path("/proc/meminfo")
_GROUP = Path("/sys/fs/cgroup")


class MemoryMeter(Protocol):
    """Reads what the runs of a device take; called on the thread that runs them."""

    def anonymous_bytes(self) -> int | None:
        """Return the memory in use, and forget the highest point so far; None if it is unknown."""
        ...

    def peak_bytes(self) -> int | None:
        """Return the highest point since `anonymous_bytes`."""
        ...


class MemoryProbe:
    """Reads this process's memory; a test puts its own in place."""

    def anonymous_bytes(self) -> int | None:
        """Return the anonymous memory in use, and forget the highest point so far."""
        try:
            _CLEAR_REFS.write_text(_RESET_PEAK)
            return _field_bytes(_STATUS, "RssAnon")
        except (OSError, LookupError):
            return None

    def peak_bytes(self) -> int | None:
        """Return the highest point of anonymous memory since `anonymous_bytes`."""
        try:
            files = _field_bytes(_STATUS, "RssFile") + _field_bytes(_STATUS, "RssShmem")
            return max(_field_bytes(_STATUS, "VmHWM") - files, _field_bytes(_STATUS, "RssAnon"))
        except (OSError, LookupError):
            return None


def available_bytes(machine: Path = _MACHINE, group: Path = _GROUP) -> int | None:
    """Return how much memory this process may still take: the machine's, or its control group's if that is less."""
    try:
        free = _field_bytes(machine, "MemAvailable")
    except (OSError, LookupError):
        return None
    try:
        limit, used = ((group / name).read_text().strip() for name in ("memory.max", "memory.current"))
        # The group's page cache counts as used and can be dropped.
        cache = re.search(r"^inactive_file (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
        return min(free, int(limit) - int(used) + (int(cache[1]) if cache else 0))
    except (OSError, ValueError):
        return free  # no control group, or one without a limit ("max")


def anonymous_bytes_of(process: int) -> int | None:
    """Return the memory of a process that the system cannot drop, shared memory included; None if it is unknown."""
    status = Path(f"/proc/{process}/status")
    try:
        return _field_bytes(status, "RssAnon") + _field_bytes(status, "RssShmem")
    except (OSError, LookupError):
        return None


def peak_rise(run: Callable[[], object]) -> int | None:
    """Return the rise in bytes from before the call to its highest point, or None where it cannot be told."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _field_bytes(_STATUS, "VmRSS")
        run()
        return max(0, _field_bytes(_STATUS, "VmHWM") - before)
    except (OSError, LookupError):
        run()
        return None


def _field_bytes(file: Path, field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", file.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(field)
    return int(found[1]) * 1024
