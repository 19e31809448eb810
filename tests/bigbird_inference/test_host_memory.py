from pathlib import Path

import numpy as np

from bigbird_inference.host_memory import MemoryProbe, available_bytes

MEGABYTE = 2**20


def test_the_peak_is_seen_though_the_memory_was_given_back() -> None:
    probe = MemoryProbe()
    before = probe.anonymous_bytes()
    assert before is not None
    np.ones(64 * MEGABYTE, dtype=np.uint8).sum()
    peak = probe.peak_bytes()
    assert peak is not None
    assert 60 * MEGABYTE < peak - before < 200 * MEGABYTE


def left(folder: Path, membership: str = "") -> int | None:
    """What is available on a machine with 1,000 kB and the control groups under `folder`."""
    (folder / "meminfo").write_text("MemTotal:       99999999 kB\nMemAvailable:   1000 kB\n")
    (folder / "cgroup").write_text(membership)
    return available_bytes(folder / "meminfo", folder, folder / "cgroup")


def group(folder: Path, names: tuple[str, str, str], limit: str, used: int, cache: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in zip(names, (limit, used, f"anon 1\n{names[2]} {cache}"), strict=True):
        (folder / ("memory.stat" if name == names[2] else name)).write_text(f"{text}\n")


VERSION_2 = ("memory.max", "memory.current", "inactive_file")
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")


def test_what_is_available_is_what_the_machine_has_left(tmp_path: Path) -> None:
    assert left(tmp_path, "0::/") == 1000 * 1024


def test_a_control_group_with_less_counts_and_its_cache_is_free(tmp_path: Path) -> None:
    group(tmp_path, VERSION_2, "500000", 400_000, 30_000)
    assert left(tmp_path, "0::/") == 130_000
    group(tmp_path, VERSION_2, "max", 400_000, 30_000)
    assert left(tmp_path, "0::/") == 1000 * 1024


def test_so_does_a_limit_of_version_1_and_one_of_a_unit_or_of_a_slice_above_it(tmp_path: Path) -> None:
    group(tmp_path / "memory", VERSION_1, "500000", 400_000, 30_000)
    # A container sees its own group as the root, and the host's name for it.
    assert left(tmp_path, "4:cpu:/docker/5f3a\n3:memory:/docker/5f3a\n") == 130_000
    # The largest multiple of a page: none.
    group(tmp_path / "memory", VERSION_1, "9223372036854771712", 400_000, 0)
    assert left(tmp_path, "3:memory:/docker/5f3a\n") == 1000 * 1024
    group(tmp_path / "system.slice", VERSION_2, "300000", 100_000, 0)
    group(tmp_path / "system.slice" / "bigbird.service", VERSION_2, "900000", 100_000, 0)
    assert left(tmp_path, "0::/system.slice/bigbird.service\n") == 200_000


def test_a_group_beyond_its_limit_has_nothing_left(tmp_path: Path) -> None:
    group(tmp_path, VERSION_2, "300000", 400_000, 0)
    assert left(tmp_path, "0::/") == 0


def test_a_machine_that_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "nothing", tmp_path) is None
