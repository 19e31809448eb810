from pathlib import Path

import numpy as np

from bigbird_inference.memory import MemoryProbe, available_bytes

MEGABYTE = 2**20


def test_the_peak_is_seen_though_the_memory_was_given_back() -> None:
    probe = MemoryProbe()
    before = probe.anonymous_bytes()
    assert before is not None
    np.ones(64 * MEGABYTE, dtype=np.uint8).sum()
    peak = probe.peak_bytes()
    assert peak is not None
    assert 60 * MEGABYTE < peak - before < 200 * MEGABYTE


def machine(folder: Path, kilobytes: int) -> Path:
    file = folder / "meminfo"
    file.write_text(f"MemTotal:       99999999 kB\nMemAvailable:   {kilobytes} kB\n")
    return file


def test_what_is_available_is_what_the_machine_has_left(tmp_path: Path) -> None:
    assert available_bytes(machine(tmp_path, 1000), tmp_path / "none") == 1000 * 1024


def test_a_control_group_with_less_counts_and_its_cache_is_free(tmp_path: Path) -> None:
    (tmp_path / "memory.max").write_text("500000\n")
    (tmp_path / "memory.current").write_text("400000\n")
    (tmp_path / "memory.stat").write_text("anon 1\ninactive_file 30000\n")
    assert available_bytes(machine(tmp_path, 1000), tmp_path) == 130_000
    (tmp_path / "memory.max").write_text("max\n")
    assert available_bytes(machine(tmp_path, 1000), tmp_path) == 1000 * 1024


def test_a_machine_that_does_not_tell_is_unknown(tmp_path: Path) -> None:
    assert available_bytes(tmp_path / "nothing", tmp_path) is None
