"""How many cores this process may really use.

The machine's number is wrong in a container: a CPU set (`--cpuset-cpus`, `taskset`) takes cores away, and a quota
(`--cpus`, Kubernetes' `limits.cpu`) leaves all of them in sight but stops the whole process, event loop included, for
the rest of each period once its threads have used up their share. More threads than the quota has cores only reach that
point sooner.
"""

import math
import os
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath

_HIERARCHIES = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def available_cores(hierarchies: Path = _HIERARCHIES, membership: Path = _MEMBERSHIP) -> int:
    """Return the cores of this process's affinity, or of the smallest CPU quota above it where that is less.

    Quotas need not be whole cores; they are rounded to the nearest number, at least 1.

    Args:
        hierarchies: Where the control groups are mounted, version 1 or 2.
        membership: The kernel's list of the control groups that this process is in.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = min(_quotas(hierarchies, membership), default=math.inf)
    return cores if quota >= cores else max(1, math.floor(quota + 0.5))


def _quotas(hierarchies: Path, membership: Path) -> Iterator[float]:
    """Yield every CPU quota that binds this process, in cores."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        # hierarchy-ID:controller-list:cgroup-path; version 2 has an empty list (cgroups(7)).
        _, controllers, group = line.split(":", 2)
        if not controllers:
            for mount in (hierarchies, hierarchies / "unified"):
                yield from _quotas_up_to(mount, group, _read_version_2)
        elif "cpu" in controllers.split(","):
            for mount in (hierarchies / controllers, hierarchies / "cpu"):
                yield from _quotas_up_to(mount, group, _read_version_1)


def _quotas_up_to(mount: Path, group: str, read: Callable[[Path], float | None]) -> Iterator[float]:
    """Yield the quotas of a group and of all groups above it.

    A container may see its own group mounted as the root, and its path as the host names it: what is not there is
    passed over.
    """
    path = PurePosixPath(group.lstrip("/"))
    # A group outside this process's control group namespace is named by a way up and out of it.
    levels = [path, *path.parents] if ".." not in path.parts else [PurePosixPath()]
    for level in levels:
        try:
            quota = read(mount / level)
        except (OSError, ValueError):
            continue
        if quota is not None:
            yield quota


def _read_version_2(group: Path) -> float | None:
    """Read `cpu.max`: microseconds of work and of a period, or `max` for no quota."""
    work, period = (group / "cpu.max").read_text(encoding="ascii").split()
    return None if work == "max" else int(work) / int(period)


def _read_version_1(group: Path) -> float | None:
    """Read the completely fair scheduler's quota and period in microseconds; a quota of -1 is none."""
    work = int((group / "cpu.cfs_quota_us").read_text(encoding="ascii"))
    period = int((group / "cpu.cfs_period_us").read_text(encoding="ascii"))
    return None if work < 0 else work / period
