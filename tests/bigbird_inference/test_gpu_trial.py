"""Rungs that crash or hang the process that tries them; onnxruntime's provider for CPUs plays the GPU there."""

import json
import sys
import textwrap
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.gpu_trial import main, try_rungs
from bigbird_inference.runtime.cuda.features import RUNGS, GpuFeatures, RungName
from bigbird_inference.runtime.cuda.probe import MachineProbe
from bigbird_inference.trial import REFUSED, Ended
from tests.bigbird_inference.runtime.cuda.stand_in import StandIn, Way, gpu
from tests.service.asynchronous import asynchronous
from tests.service.models.test_gpu_features import answer, models, served, states, warnings, write_gpu_bundle

__all__ = ["gpu", "models"]

PINNED = GpuFeatures(RUNGS, pinned=True)
# In the process that tries rungs, before anything of ours is imported: when a rung is opened, a fault happens.
_FAULTY = """
    import importlib.machinery, os, signal, sys, time

    def open_level(graph):
        {fault}

    class Finder:
        def find_spec(self, name, path, target=None):
            if name != {module!r}:
                return None
            spec = importlib.machinery.PathFinder.find_spec(name, path)
            execute = spec.loader.exec_module

            def exec_module(module):
                execute(module)
                module.open_level = open_level

            spec.loader.exec_module = exec_module
            return spec

    sys.meta_path.insert(0, Finder())
"""
CRASH, HANG = "os.kill(os.getpid(), signal.SIGSEGV)", "time.sleep(600)"


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    write_gpu_bundle(tmp_path / "sums")
    return open_bundle(tmp_path / "sums")


@pytest.fixture
def break_rung(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Let a module's rung do something else when it is opened, in every process that is started from now on."""

    def patch(rung: str, fault: str) -> None:
        module = f"bigbird_inference.runtime.cuda.{rung}"
        folder = tmp_path / "faulty"
        folder.mkdir()
        (folder / "sitecustomize.py").write_text(textwrap.dedent(_FAULTY).format(module=module, fault=fault))
        monkeypatch.setattr(sys, "path", [str(folder), *sys.path])

    return patch


def tried(bundle: Bundle, seconds: float = 60) -> dict[str, tuple[str, str]]:
    outcomes = try_rungs(bundle, "cpu", PINNED, threading.Event(), seconds=seconds)
    return {outcome.rung: (outcome.state, outcome.reason) for outcome in outcomes}


def test_what_is_sound_passes(bundle: Bundle) -> None:
    assert tried(bundle) == dict.fromkeys(RUNGS, ("on", ""))


@pytest.mark.parametrize(
    ("rung", "fault"),
    [
        pytest.param("cuda_graphs", CRASH, id="cuda_graphs crashes"),
        pytest.param("fused_attention", HANG, id="fused_attention hangs", marks=pytest.mark.slow),
        pytest.param("fused_attention", CRASH, id="fused_attention crashes", marks=pytest.mark.slow),
        pytest.param("iobinding", CRASH, id="iobinding crashes", marks=pytest.mark.slow),
        pytest.param("iobinding", HANG, id="iobinding hangs", marks=pytest.mark.slow),
        pytest.param("cuda_graphs", HANG, id="cuda_graphs hangs", marks=pytest.mark.slow),
    ],
)
@asynchronous
async def test_a_rung_that_ends_its_process_leaves_a_served_model_one_line_and_a_metric(
    models: Path,
    gpu: StandIn,
    break_rung: Callable[[str, str], None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    rung: RungName,
    fault: str,
) -> None:
    """The process is a real one, in which the provider for CPUs plays the GPU; in this one a stand-in does."""
    break_rung(rung, fault)
    seconds = 120 if fault == CRASH else 30
    monkeypatch.setattr(
        "service.models.loading.try_rungs",
        lambda bundle, device, *others, **options: try_rungs(bundle, "cpu", *others, **options, seconds=seconds),
    )
    # Pinned, because what gains nothing on a CPU would not be kept.
    async with served(models, gpu_features=",".join(RUNGS)) as serving:
        assert states(serving) == {name: "failed" if name == rung else "on" for name in RUNGS}
        gpu.ways()
        assert await answer(serving, [5] * 16) == 80.0
        assert gpu.ways() == ["bound" if rung == "cuda_graphs" else "replayed"]
    assert any("-fused" in file for file, _ in gpu.loaded) == (rung != "fused_attention")
    (told,) = warnings(caplog)
    said = "the process that tried it ended with signal 11" if fault == CRASH else "had not ended after 30 s"
    assert f"{rung} is not kept (failed)" in told and said in told


def test_a_first_rung_that_cannot_run_is_a_bundle_that_cannot_be_served(bundle: Bundle) -> None:
    bundle.path("graph-full.onnx").write_bytes(b"no graph")
    with pytest.raises(BundleError, match=r"sums: on cpu: .*graph-full\.onnx: is not an ONNX graph"):
        tried(bundle)


def test_a_trial_that_is_given_up_is_ended(bundle: Bundle) -> None:
    given_up = threading.Event()
    given_up.set()
    with pytest.raises(BundleError, match="given up"):
        try_rungs(bundle, "cpu", PINNED, given_up)


def test_no_other_process_is_started_once_a_trial_was_given_up(bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    given_up = threading.Event()

    def end(*arguments: object) -> Ended:
        assert not given_up.is_set(), "another process was started"
        given_up.set()
        return Ended(-9, json.dumps({"trying": "iobinding"}), BundleError("its trial was given up"))

    monkeypatch.setattr("bigbird_inference.gpu_trial.run_apart", end)
    with pytest.raises(BundleError, match="given up"):
        try_rungs(bundle, "cpu", PINNED, given_up)


# What the process itself does, here in this one, with a stand-in for the GPU.


@pytest.fixture
def tell(
    gpu: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[[], tuple[int, list[Any]]]:
    """Try the rungs; return the status and the lines that tell of it."""
    watches: list[bool] = []
    monkeypatch.setattr("bigbird_inference.gpu_trial.end_with_whoever_waits", lambda: watches.append(True))
    monkeypatch.setattr(MachineProbe, "failure_on", lambda probe, number: None)

    def told() -> tuple[int, list[Any]]:
        status = main(bundle.folder, "cuda:0", PINNED, 0)
        assert watches, "nobody would end it with the server"
        return status, [json.loads(line) for line in capsys.readouterr().out.splitlines() if line.startswith("{")]

    return told


def told_states(lines: list[Any]) -> dict[str, str]:
    return {line["rung"]: line["state"] for line in lines if "rung" in line}


def test_a_rung_with_other_numbers_is_told_and_the_next_is_tried_without_it(
    gpu: StandIn, tell: Callable[[], tuple[int, list[Any]]]
) -> None:
    gpu.off["fused"] = 0.1
    status, lines = tell()
    assert status == 0
    assert told_states(lines) == {"fused_attention": "wrong", "iobinding": "on", "cuda_graphs": "on"}
    assert [line["trying"] for line in lines if "trying" in line] == [None, *RUNGS]
    assert [file for file, _ in gpu.loaded].count("graph-full-fused.onnx") == 1


@pytest.mark.parametrize("right_replays", [2, 4], ids=["when it is compared", "when all is asked again"])
def test_a_recording_that_is_wrong_only_later_is_found(
    gpu: StandIn, tell: Callable[[], tuple[int, list[Any]]], right_replays: int
) -> None:
    def spoil(way: Way, shape: tuple[int, int]) -> None:
        if sum(own == "replayed" for own, _ in gpu.runs) > right_replays:
            gpu.off["replayed"] = 0.1

    gpu.before_run = spoil
    assert told_states(tell()[1]) == {"fused_attention": "on", "iobinding": "on", "cuda_graphs": "wrong"}


def test_a_gpu_that_runs_nothing_is_refused_before_anything_is_tried(
    monkeypatch: pytest.MonkeyPatch, tell: Callable[[], tuple[int, list[Any]]]
) -> None:
    monkeypatch.setattr(MachineProbe, "failure_on", lambda probe, number: "its CUDA provider does not start")
    assert tell() == (REFUSED, [])
