"""What a run needs in memory, and what the machine has left (Linux; elsewhere unknown).

Only anonymous memory counts: what is mapped from files the system may drop and read again.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from bigbird_inference.control_groups import HIERARCHIES, MEMBERSHIP, limits

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"
_MACHINE = Path("/proc/meminfo")


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


def available_bytes(
    machine: Path = _MACHINE, hierarchies: Path = HIERARCHIES, membership: Path = MEMBERSHIP
) -> int | None:
    """Return how much memory this process may still take: the machine's, or a control group's if that is less.

    Args:
        machine: What the kernel says of the machine's memory.
        hierarchies: Where the control groups are mounted, version 1 or 2.
        membership: The kernel's list of the control groups that this process is in.
    """
    try:
        free = _field_bytes(machine, "MemAvailable")
    except (OSError, LookupError):
        return None
    return max(0, min([free, *limits("memory", _left_in_version_1, _left_in_version_2, hierarchies, membership)]))


def _left_in_version_2(group: Path) -> int:
    """Return what a group has left; raises ValueError where its limit is `max`."""
    return _left(group, "memory.max", "memory.current", "inactive_file")


def _left_in_version_1(group: Path) -> int:
    """Return what a group has left; one without a limit has more than any machine."""
    return _left(group, "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def _left(group: Path, limit: str, used: str, cache: str) -> int:
    # The group's page cache counts as used and can be dropped.
    found = re.search(rf"^{cache} (\d+)$", (group / "memory.stat").read_text(), re.MULTILINE)
    left = int((group / limit).read_text()) - int((group / used).read_text())
    return left + (int(found[1]) if found else 0)


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
