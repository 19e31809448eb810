"""The control groups that bind this process: a container's limits, or a unit's of systemd.

Both versions of the kernel's interface are in use, and a limit of any group above this process's own binds it, too.
"""

from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import TypeVar

HIERARCHIES = Path("/sys/fs/cgroup")
"""Where the control groups are mounted."""

MEMBERSHIP = Path("/proc/self/cgroup")
"""The kernel's list of the control groups that this process is in."""

LimitT = TypeVar("LimitT")
ReadLimit = Callable[[Path], LimitT | None]
"""Reads a group's folder; returns None, or raises OSError or ValueError, where there is no limit."""


def limits(
    controller: str,
    read_version_1: ReadLimit[LimitT],
    read_version_2: ReadLimit[LimitT],
    hierarchies: Path = HIERARCHIES,
    membership: Path = MEMBERSHIP,
) -> Iterator[LimitT]:
    """Yield every limit of a controller, `cpu` or `memory`, that binds this process."""
    try:
        lines = membership.read_text(encoding="utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        # hierarchy-ID:controller-list:cgroup-path; version 2 has an empty list (cgroups(7)).
        _, controllers, group = line.split(":", 2)
        if not controllers:
            for mount in (hierarchies, hierarchies / "unified"):
                yield from _up_from(mount, group, read_version_2)
        elif controller in controllers.split(","):
            for mount in dict.fromkeys((hierarchies / controllers, hierarchies / controller)):
                yield from _up_from(mount, group, read_version_1)


def _up_from(mount: Path, group: str, read: ReadLimit[LimitT]) -> Iterator[LimitT]:
    """Yield the limits of a group and of all groups above it.

    A container may see its own group mounted as the root, and its path as the host names it: what is not there is
    passed over.
    """
    path = PurePosixPath(group.lstrip("/"))
    # A group outside this process's control group namespace is named by a way up and out of it.
    levels = [path, *path.parents] if ".." not in path.parts else [PurePosixPath()]
    for level in levels:
        try:
            limit = read(mount / level)
        except (OSError, ValueError):
            continue
        if limit is not None:
            yield limit
