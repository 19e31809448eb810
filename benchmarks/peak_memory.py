"""What this process has resident, and what it had at most (Linux)."""

import re
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def reset_peak_memory() -> None:
    """Forget what was resident before."""
    _CLEAR_REFS.write_text(_RESET_PEAK)


def peak_memory() -> int:
    """Return the most bytes that were resident since then, mapped files included."""
    return _status_bytes("VmHWM")


def resident_memory() -> int:
    """Return the bytes that are resident now, mapped files included."""
    return _status_bytes("VmRSS")


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(encoding="ascii"), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024
