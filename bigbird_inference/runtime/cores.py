"""How many cores this process may really use.

The machine's number is wrong in a container: a CPU set (`--cpuset-cpus`, `taskset`) takes cores away, and a quota
(`--cpus`, Kubernetes' `limits.cpu`) leaves all of them in sight but stops the whole process, event loop included, for
the rest of each period once its threads have used up their share. More threads than the quota has cores only reach that
point sooner.
"""

import math
import os
from pathlib import Path

from bigbird_inference.control_groups import HIERARCHIES, MEMBERSHIP, limits


def available_cores(hierarchies: Path = HIERARCHIES, membership: Path = MEMBERSHIP) -> int:
    """Return the cores of this process's affinity, or of the smallest CPU quota above it where that is less.

    Quotas need not be whole cores; they are rounded to the nearest number, at least 1.

    Args:
        hierarchies: Where the control groups are mounted, version 1 or 2.
        membership: The kernel's list of the control groups that this process is in.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quotas = limits("cpu", _read_version_1, _read_version_2, hierarchies, membership)
    quota = min(quotas, default=math.inf)
    return cores if quota >= cores else max(1, math.floor(quota + 0.5))


def _read_version_2(group: Path) -> float | None:
    """Read `cpu.max`: microseconds of work and of a period, or `max` for no quota."""
    work, period = (group / "cpu.max").read_text(encoding="ascii").split()
    return None if work == "max" else int(work) / int(period)


def _read_version_1(group: Path) -> float | None:
    """Read the completely fair scheduler's quota and period in microseconds; a quota of -1 is none."""
    work = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
    return None if work < 0 else work / period
