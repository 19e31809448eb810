"""onnxruntime as a build for GPUs behaves, played by its CPU provider: runs, recordings and replays, with faults."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import numpy as np
import pytest

from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

CUDA, CPU = "CUDAExecutionProvider", "CPUExecutionProvider"
Way = Literal["composed", "fused", "bound", "recorded", "replayed"]


class StandIn:
    """A GPU on which each rung is faster than the one below.

    Attributes:
        loaded: File and settings of every graph, in order.
        options: The session options of each.
        runs: How, and in which shape, everything ran.
        seconds: What a run takes, by how it is run.
        before_load: Called with a file's name and its settings.
        before_run: Called with how it is run, and the shape.
        before_place: Called when memory for an input or an output is asked for.
        off: By how much the numbers of a way to run are wrong.
        stale: Whether replays leave the outputs of the recording.
        providers: What loaded sessions say that they run on.
    """

    def __init__(self) -> None:
        self.loaded: list[tuple[str, dict[str, str]]] = []
        self.options: list[onnxruntime.SessionOptions] = []
        self.runs: list[tuple[Way, tuple[int, int]]] = []
        self.seconds: dict[Way, float] = {"composed": 1.0, "fused": 0.6, "bound": 0.5, "recorded": 0.5, "replayed": 0.3}
        self.before_load: Callable[[str, dict[str, str]], None] = lambda file, settings: None
        self.before_run: Callable[[Way, tuple[int, int]], None] = lambda way, shape: None
        self.before_place: Callable[[], None] = lambda: None
        self.off: dict[Way, float] = {}
        self.stale = False
        self.providers = [CUDA, CPU]
        self.OrtValue = SimpleNamespace(ortvalue_from_shape_and_type=self._place)

    def __getattr__(self, name: str) -> Any:
        return getattr(onnxruntime, name)

    def InferenceSession(self, path: str, options: Any, *, providers: list[Any], enable_fallback: int) -> Any:
        ((name, settings), other) = providers
        assert (name, other, enable_fallback) == (CUDA, CPU, 0)
        self.before_load(Path(path).name, settings)
        self.loaded.append((Path(path).name, settings))
        self.options.append(options)
        return StandInSession(self, path, options)

    def least_seconds(self, run: Callable[[], object], clock: object) -> float:
        run()
        return self.seconds[self.runs[-1][0]]

    def ways(self) -> list[Way]:
        """How it ran since this was asked last."""
        ways = [way for way, _ in self.runs]
        self.runs.clear()
        return ways

    def _place(self, shape: Any, dtype: Any, device: str, number: int) -> onnxruntime.OrtValue:
        assert device == "cuda"
        self.before_place()
        return onnxruntime.OrtValue.ortvalue_from_shape_and_type(shape, dtype, "cpu", 0)


class StandInSession:
    """One graph. The first run of a number is recorded; from then on what was recorded is repeated at its addresses."""

    def __init__(self, gpu: StandIn, path: str, options: Any) -> None:
        self._gpu = gpu
        self._kernel: Way = "fused" if "-fused" in path else "composed"
        self._session = onnxruntime.InferenceSession(path, options, providers=[CPU])
        self._recorded: dict[int, Any] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)

    def get_providers(self) -> list[str]:
        return self._gpu.providers

    def run(self, names: list[str], feeds: dict[str, np.ndarray], options: Any) -> Any:
        assert graph_id(options) in (None, -1)
        self._begin(self._kernel, feeds["input_ids"].shape)
        off = np.float32(self._gpu.off.get(self._kernel, 0.0))
        return [array + off for array in self._session.run(names, feeds, options)]

    def run_with_iobinding(self, binding: Any, options: Any) -> None:
        number = graph_id(options)
        way: Way = "bound"
        if number is not None and number != -1:
            way = "replayed" if number in self._recorded else "recorded"
            assert self._recorded.setdefault(number, binding) is binding, "a replay does not look at what it is given"
        self._begin(way, tuple(binding._bound_inputs["input_ids"].shape()))
        if way == "replayed" and self._gpu.stale:
            return
        self._session.run_with_iobinding(binding, options)
        for value in binding._bound_outputs.values():
            value.update_inplace(value.numpy() + np.float32(self._gpu.off.get(way, 0.0)))

    def _begin(self, way: Way, shape: tuple[int, int]) -> None:
        self._gpu.runs.append((way, shape))
        self._gpu.before_run(way, shape)


def graph_id(options: onnxruntime.RunOptions) -> int | None:
    try:
        return int(options.get_run_config_entry("gpu_graph_id"))
    except RuntimeError:
        return None


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """A GPU in the place of onnxruntime's."""
    stand_in = StandIn()
    for module in ("device", "iobinding"):
        monkeypatch.setattr(f"bigbird_inference.runtime.cuda.{module}.onnxruntime", stand_in)
    for module in ("ladder", "cuda_graphs"):
        monkeypatch.setattr(f"bigbird_inference.runtime.cuda.{module}.least_seconds", stand_in.least_seconds)
    return stand_in
