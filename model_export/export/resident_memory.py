"""How much a process's resident memory rises while something runs (Linux; elsewhere unknown)."""

import re
from collections.abc import Callable
from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"


def peak_rise(run: Callable[[], object]) -> int | None:
    """Return the rise in bytes from before the call to its highest point, or None where it cannot be told."""
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK)
        before = _status_bytes("VmRSS")
        run()
        return max(0, _status_bytes("VmHWM") - before)
    except (OSError, LookupError):
        run()
        return None


def _status_bytes(field: str) -> int:
    found = re.search(rf"^{field}:\s+(\d+) kB", _STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise LookupError(field)
    return int(found[1]) * 1024
