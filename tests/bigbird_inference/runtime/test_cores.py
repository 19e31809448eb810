from collections.abc import Mapping
from pathlib import Path

import pytest

from bigbird_inference.runtime.cores import available_cores


@pytest.fixture(autouse=True)
def sixteen_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: set(range(16)))


def cores(folder: Path, membership: str, files: Mapping[str, str]) -> int:
    """Count the cores on a machine with these control groups, of which the process is in those of `membership`."""
    mounted = folder / "sys" / "fs" / "cgroup"
    mounted.mkdir(parents=True)
    for name, text in files.items():
        path = mounted / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text + "\n", encoding="ascii")
    listed = folder / "cgroup"
    listed.write_text(membership + "\n", encoding="ascii")
    return available_cores(mounted, listed)


@pytest.mark.parametrize(
    ("membership", "files", "expected"),
    [
        pytest.param("0::/", {"cpu.max": "400000 100000"}, 4, id="a container with a version 2 quota of four cores"),
        pytest.param("0::/", {"cpu.max": "max 100000"}, 16, id="a version 2 group without a quota"),
        pytest.param("0::/", {"cpu.max": "25000 50000"}, 1, id="half a core"),
        pytest.param("0::/", {"cpu.max": "10000 100000"}, 1, id="a tenth of a core is still one thread"),
        pytest.param("0::/", {"cpu.max": "250000 100000"}, 3, id="two and a half cores are three"),
        pytest.param("0::/", {"cpu.max": "110000 100000"}, 1, id="a little more than one core is one"),
        pytest.param("0::/", {"cpu.max": "3200000 100000"}, 16, id="a quota beyond the cores that there are"),
        pytest.param(
            "0::/kubepods.slice/pod7.slice/main.scope",
            {
                "kubepods.slice/cpu.max": "1200000 100000",
                "kubepods.slice/pod7.slice/cpu.max": "300000 100000",
                "kubepods.slice/pod7.slice/main.scope/cpu.max": "max 100000",
            },
            3,
            id="the quota of a group above binds too, and the smallest counts",
        ),
        pytest.param(
            "4:cpu,cpuacct:/docker/5f3a\n3:cpuset:/docker/5f3a",
            {
                "cpu,cpuacct/docker/5f3a/cpu.cfs_quota_us": "200000",
                "cpu,cpuacct/docker/5f3a/cpu.cfs_period_us": "100000",
            },
            2,
            id="a version 1 group under its controllers' joint name",
        ),
        pytest.param(
            "4:cpu,cpuacct:/docker/5f3a",
            {"cpu/cpu.cfs_quota_us": "500000", "cpu/cpu.cfs_period_us": "100000"},
            5,
            id="a version 1 container that sees its own group as the root, and the host's name for it",
        ),
        pytest.param(
            "1:cpu:/",
            {"cpu/cpu.cfs_quota_us": "-1", "cpu/cpu.cfs_period_us": "100000"},
            16,
            id="a version 1 group without a quota",
        ),
        pytest.param(
            "1:cpuset:/\n0::/service",
            {"unified/service/cpu.max": "700000 100000"},
            7,
            id="both versions side by side",
        ),
        pytest.param(
            "0::/../outside", {"cpu.max": "600000 100000"}, 6, id="a group outside the namespace of control groups"
        ),
        pytest.param("0::/", {"cpu.max": "unreadable"}, 16, id="a file in no known form"),
        pytest.param("0::/", {}, 16, id="no quota files"),
    ],
)
def test_cores_by_quota(tmp_path: Path, membership: str, files: Mapping[str, str], expected: int) -> None:
    assert cores(tmp_path, membership, files) == expected


def test_a_process_bound_to_two_cores_has_two_whatever_the_quota(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.sched_getaffinity", lambda process: {3, 7})
    assert cores(tmp_path, "0::/", {"cpu.max": "400000 100000"}) == 2


def test_a_system_without_control_groups_has_its_cores(tmp_path: Path) -> None:
    assert available_cores(tmp_path / "nothing", tmp_path / "nowhere") == 16
