import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.__main__ import MISSED, NOT_MEASURED, REACHED, GpuBenchmark, exit_status, main, missing_gpu
from benchmarks.gpu.contenders import DENSE_COMPILED, DENSE_EAGER, FLEX, OURS, TRANSFORMERS
from benchmarks.gpu.findings import Findings
from benchmarks.gpu.numerics import WrongNumbers
from benchmarks.gpu.plan import MEASUREMENT, REHEARSAL, Plan
from model_export.errors import ExportError
from tests.benchmarks.gpu.examples import cell, findings

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.slow
def test_the_whole_benchmark_can_be_rehearsed_without_a_gpu(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "benchmarks.gpu", "--dry-run-on-cpu", "--output", str(tmp_path)]
    completed = subprocess.run(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"}, capture_output=True)
    assert completed.returncode == REACHED, completed.stderr.decode()
    report = json.loads((tmp_path / "gpu.json").read_text())
    rows = [(row["tokens"], row["contender"]) for row in report["rows"] if row["documents/s"] > 0]
    full = [OURS, TRANSFORMERS, DENSE_EAGER, DENSE_COMPILED]
    assert set(rows) == {(704, name) for name in full} | {(1024, name) for name in [*full, FLEX]}
    page = (tmp_path / "gpu.md").read_text()
    for part in ("Numbers, fp32, bucket 704", "Attention kernels, bucket 1,024", "Ceilings", "Memory", "Server"):
        assert part in page
    assert (tmp_path / "gpu.png").exists()


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(sys, "argv", ["gpu"])
    assert main() == NOT_MEASURED
    error = capsys.readouterr().err
    assert error.startswith("no GPU: torch ")
    assert "--dry-run-on-cpu" in error
    assert error.count("\n") == 1


def test_an_onnxruntime_without_cuda_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.onnxruntime, "get_available_providers", lambda: ["CPUExecutionProvider"])
    assert "install onnxruntime-gpu" in str(missing_gpu())
    monkeypatch.setattr(gpu.onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider"])
    assert missing_gpu() is None


def test_without_a_bundle_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def refuse(plan: Plan) -> Path:
        raise ExportError("bucket 704: outputs differ from torch by 3")

    monkeypatch.setattr(gpu, "REHEARSAL", replace(REHEARSAL, checkpoint=lambda: tmp_path))
    monkeypatch.setattr(gpu, "measured_bundle", refuse)
    monkeypatch.setattr(gpu.multiprocessing, "set_forkserver_preload", lambda modules: None)
    monkeypatch.setattr(sys, "argv", ["gpu", "--dry-run-on-cpu", "--output", str(tmp_path)])
    assert main() == NOT_MEASURED
    assert "no bundle to measure: ExportError: bucket 704" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.fixture
def benchmark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> GpuBenchmark:
    """A benchmark whose parts find nothing, until a test says otherwise."""
    monkeypatch.setattr(gpu, "measured_bundle", lambda plan: tmp_path / "bundle")
    for part in ("numbers", "fp32_numbers", "kernels", "recordings", "ceilings", "memory", "server", "speed"):
        monkeypatch.setattr(GpuBenchmark, f"_{part}", lambda self: None)
    plan = replace(REHEARSAL, checkpoint=lambda: tmp_path / "checkpoint")
    return GpuBenchmark(plan, tmp_path, seconds=600)


def test_a_part_that_fails_is_reported_and_the_others_go_on(
    benchmark: GpuBenchmark, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: GpuBenchmark) -> None:
        raise RuntimeError("no such kernel")

    def find(self: GpuBenchmark) -> None:
        self.findings.cells.append(cell(OURS, 1024, 1, 5.0))

    monkeypatch.setattr(GpuBenchmark, "_kernels", fail)
    monkeypatch.setattr(GpuBenchmark, "_speed", find)
    benchmark.run()
    assert benchmark.findings.failures == {"kernels": "RuntimeError: no such kernel"}
    assert "- kernels failed: RuntimeError: no such kernel" in (tmp_path / "gpu.md").read_text()
    assert len(json.loads((tmp_path / "gpu.json").read_text())["rows"]) == 1


def test_wrong_numbers_stop_everything(benchmark: GpuBenchmark, monkeypatch: pytest.MonkeyPatch) -> None:
    ran = []

    def find_wrong(self: GpuBenchmark) -> None:
        raise WrongNumbers("bucket 1024: outputs differ from torch by 3")

    monkeypatch.setattr(GpuBenchmark, "_numbers", find_wrong)
    monkeypatch.setattr(GpuBenchmark, "_speed", lambda self: ran.append("speed"))
    with pytest.raises(WrongNumbers, match="differ from torch by 3"):
        benchmark.run()
    assert not ran


def test_no_part_is_begun_after_the_time_is_over(tmp_path: Path, benchmark: GpuBenchmark) -> None:
    late = GpuBenchmark(replace(REHEARSAL, checkpoint=lambda: tmp_path), tmp_path, seconds=-1)
    late.run()
    assert set(late.findings.failures.values()) == {"there was no time left for it"}
    assert len(late.findings.failures) == 7


def missing_peer(found: Findings) -> Findings:
    found.cells = [each for each in found.cells if each.contender != TRANSFORMERS]
    return found


def too_few_documents(found: Findings) -> Findings:
    assert found.served is not None
    found.served = replace(found.served, share=0.84)
    return found


@pytest.mark.parametrize(
    ("found", "status"),
    [
        pytest.param(findings(), REACHED, id="every target is reached"),
        pytest.param(too_few_documents(findings()), MISSED, id="one is missed"),
        pytest.param(missing_peer(findings()), MISSED, id="one could not be measured"),
    ],
)
def test_the_exit_status_says_whether_every_target_was_reached(found: Findings, status: int) -> None:
    assert exit_status(found, MEASUREMENT) == status


@pytest.mark.parametrize(
    ("found", "status"),
    [
        pytest.param(Findings(cells=[cell(OURS, 704, 1, 9.0)]), REACHED, id="nothing failed"),
        pytest.param(Findings(failures={"server": "no port"}), MISSED, id="a part failed"),
        pytest.param(Findings(cells=[cell(FLEX, 1024, 1, failure="no kernel")]), MISSED, id="a contender failed"),
    ],
)
def test_a_rehearsal_succeeds_if_nothing_fails(found: Findings, status: int) -> None:
    assert exit_status(found, REHEARSAL) == status
