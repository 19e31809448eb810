import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch

from benchmarks.gpu import __main__ as gpu
from benchmarks.gpu.__main__ import MISSED, NOT_MEASURED, REACHED, Part, exit_status, kept_features, main
from benchmarks.gpu.contenders import CONTENDERS, OURS
from benchmarks.gpu.plan import ON_A_CPU, ON_A_GPU, Plan
from benchmarks.gpu.report import BEGIN, END
from benchmarks.gpu.results import Cells, Results
from bigbird_inference.runtime.devices import DeviceUnavailable
from tests.benchmarks.gpu.examples import FACTS, example

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[3]


def test_the_whole_benchmark_runs_on_a_cpu(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    options = ["--device", "cpu", "--output", str(tmp_path), "--docs", str(page)]
    command = [sys.executable, "-m", "benchmarks.gpu", *options]
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    completed = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert completed.returncode == REACHED, completed.stderr
    cells = json.loads((tmp_path / "gpu.json").read_text())["cells"]
    speeds = {(704, 1), (704, 2), (1024, 1), (1024, 2)}
    assert {name for name in cells if name.startswith("speed/")} == {
        f"speed/{length}/{documents}/{name}" for length, documents in speeds for name in CONTENDERS
    }
    assert {name.split("/")[0] for name in cells} == {part.name for part in gpu.PARTS}
    assert f"| {OURS} | " in page.read_text()
    again = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert again.returncode == REACHED
    assert "to measure" not in again.stdout
    assert json.loads((tmp_path / "gpu.json").read_text())["cells"] == cells


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """Replace the parts by two, and return which cells each was asked for last; the second one fails at its `bad`."""
    asked: dict[str, list[str]] = {}

    def measuring(name: str) -> Callable[[Plan, Sequence[str]], Iterator[Cells]]:
        def measure(plan: Plan, missing: Sequence[str]) -> Iterator[Cells]:
            asked[name] = list(missing)
            for cell in missing:
                if cell.endswith("bad"):
                    raise RuntimeError("no such kernel")
                yield {cell: {"found": 1}}

        return measure

    parts = [
        Part("one", lambda plan: ["one/a", "one/b"], measuring("one")),
        Part("two", lambda plan: ["two/a", "two/bad"], measuring("two")),
    ]
    monkeypatch.setattr(gpu, "PARTS", parts)
    return asked


def run(results: Results, seconds: float = 600.0) -> str | None:
    return gpu.run(ON_A_CPU, results, time.monotonic() + seconds, lambda: None)


def test_a_part_that_fails_is_reported_and_only_what_is_missing_is_measured_by_the_next_call(
    tmp_path: Path, asked: dict[str, list[str]]
) -> None:
    run(Results(tmp_path / "gpu.json", FACTS))
    results = Results(tmp_path / "gpu.json", FACTS)
    assert results.gaps == {"two/bad": "RuntimeError: no such kernel"}
    asked.clear()
    run(results)
    assert asked == {"two": ["two/bad"]}


def test_nothing_is_begun_after_the_time_is_over(tmp_path: Path, asked: dict[str, list[str]]) -> None:
    results = Results(tmp_path / "gpu.json", FACTS)
    run(results, seconds=-1)
    assert not asked
    assert results.gaps == dict.fromkeys(["one/a", "one/b", "two/a", "two/bad"], "no time was left")


def test_figures_of_another_machine_are_put_aside(tmp_path: Path, asked: dict[str, list[str]]) -> None:
    run(Results(tmp_path / "gpu.json", FACTS))
    assert not Results(tmp_path / "gpu.json", {**FACTS, "gpu": "another"}).cells
    assert json.loads((tmp_path / "gpu.before.json").read_text())["facts"] == FACTS


def test_wrong_numbers_of_the_first_rung_stop_everything(tmp_path: Path, asked: dict[str, list[str]]) -> None:
    results = Results(tmp_path / "gpu.json", FACTS)
    results.keep({"numbers/none/704": {"failed": "bucket 704: outputs differ from torch by 3"}})
    assert run(results) == "numbers/none/704: bucket 704: outputs differ from torch by 3"
    assert "two" not in asked


def test_what_serves_is_what_the_ladder_kept_unless_its_numbers_are_wrong(tmp_path: Path) -> None:
    results = example(tmp_path)
    assert kept_features(results) == "fused_attention,cuda_graphs"
    results.keep({"numbers/fused_attention,cuda_graphs/512": {"failed": "differs by 3"}})
    assert kept_features(results) == "none"
    assert kept_features(Results(tmp_path / "none.json", FACTS)) == "none"


def test_the_exit_status_tells_of_missed_targets_on_a_gpu_and_of_gaps_on_a_cpu(tmp_path: Path) -> None:
    results = example(tmp_path)
    assert exit_status(results, ON_A_GPU) == REACHED
    assert exit_status(results, ON_A_CPU) == MISSED
    results.keep({"server/mixed": {"server / bare": 0.84}})
    assert exit_status(results, ON_A_GPU) == MISSED
    assert exit_status(Results(tmp_path / "none.json", FACTS), ON_A_CPU) == REACHED


def test_without_a_gpu_one_line_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert main([]) == NOT_MEASURED
    error = capsys.readouterr().err
    assert error.startswith("no GPU: torch ")
    assert "--device cpu" in error
    assert error.count("\n") == 1


def test_an_onnxruntime_that_cannot_use_the_gpu_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(self: object) -> int:
        raise DeviceUnavailable("the installed onnxruntime was built without CUDA: install the extra `gpu`")

    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(gpu.MachineProbe, "count_gpus", refuse)
    assert main([]) == NOT_MEASURED
    assert "built without CUDA: install" in capsys.readouterr().err


def test_on_a_gpu_card_and_versions_are_named_and_the_targets_judged(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, list[str]], tmp_path: Path
) -> None:
    card = SimpleNamespace(name="An Example 9000", multi_processor_count=7, total_memory=80 << 30)
    monkeypatch.setattr(gpu, "missing_gpu", lambda: None)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda device: card)
    monkeypatch.setattr(gpu, "open_nvml", lambda: SimpleNamespace(nvmlSystemGetDriverVersion=lambda: "580.1"))
    monkeypatch.setattr(gpu.multiprocessing, "set_forkserver_preload", lambda modules: None)
    monkeypatch.setattr(Plan, "bundle", tmp_path)
    page = tmp_path / "page.md"
    page.write_text(f"{BEGIN}\n{END}\n")
    assert main(["--output", str(tmp_path), "--docs", str(page)]) == MISSED
    assert "An Example 9000, 7 multiprocessors, 80 GiB; driver 580.1; python 3." in page.read_text()
    assert json.loads((tmp_path / "gpu.json").read_text())["cells"]["one/a"] == {"found": 1}


def test_without_a_bundle_nothing_is_measured(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    # Not whole blocks.
    monkeypatch.setattr(gpu, "ON_A_CPU", replace(ON_A_CPU, buckets=(100,)))
    monkeypatch.setattr(gpu.multiprocessing, "set_forkserver_preload", lambda modules: None)
    assert main(["--device", "cpu", "--output", str(tmp_path)]) == NOT_MEASURED
    assert "no bundle to measure: " in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
