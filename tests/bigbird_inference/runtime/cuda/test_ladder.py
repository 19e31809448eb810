"""Which rungs are kept, what runs on them, and how each way to fail ends on the rung below with the right answer."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import climb
from bigbird_inference.manifest import KnownAnswer, KnownOutput, KnownRun
from bigbird_inference.runtime.cuda.device import CudaDevice
from bigbird_inference.runtime.cuda.features import RUNGS, GpuFeatures, RungName, RungOutcome, said_by, unfit
from bigbird_inference.runtime.cuda.ladder import Ladder, Probe
from bigbird_inference.runtime.cuda.levels import Level
from bigbird_inference.runtime.session import (
    CapturingSession,
    DeviceLost,
    OutOfMemory,
    RunControl,
    RunTerminated,
    Shape,
)
from tests.bigbird_inference.runtime.cuda.model_of_sums import EDGE, LONG, SHORT, batch, bundle_of_sums, logits
from tests.bigbird_inference.runtime.cuda.stand_in import StandIn, Way, gpu
from tests.fake_model import fake_manifest

__all__ = ["gpu"]

ROWS = [[1, 2, 3, 4], [2, 2, 0, 0], [9, 8, 7, 0]]
AT_START: dict[RungName, tuple[Way, ...]] = {
    "fused_attention": ("fused",),
    "iobinding": ("bound",),
    "cuda_graphs": ("recorded", "replayed"),
}
EVERYTHING = [Shape(1, SHORT), Shape(3, SHORT), Shape(1, EDGE)]


@pytest.fixture
def bundle(tmp_path: Path) -> Bundle:
    return bundle_of_sums(tmp_path, "composed", "fused")


def ladder_of(bundle: Bundle, features: str = "auto") -> Ladder:
    """A ladder that was climbed, with recordings."""
    ladder = CudaDevice("cuda:0", features=GpuFeatures.parse(features)).open(bundle).ladder
    assert ladder is not None
    climb(ladder)
    ladder.sessions["full"].capture(EVERYTHING)
    ladder.sessions["block_sparse"].capture([Shape(1, LONG)])
    ladder.sessions["full"].drop_wrong_captures()
    return ladder


def states(ladder: Ladder) -> dict[str, str]:
    return {outcome.rung: outcome.state for outcome in ladder.outcomes}


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


def answers(ladder: Ladder, rows: list[list[int]]) -> None:
    np.testing.assert_array_equal(ladder.sessions["full"].run(batch(rows))["logits"], logits(rows, [1, 2, 3]))


def test_every_rung_that_gives_the_same_numbers_sooner_is_kept(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    fused, bound, recorded = ladder.outcomes
    assert states(ladder) == dict.fromkeys(RUNGS, "on")
    # Three probes: both ends of the full graph, and the one bucket of the other.
    assert (fused.seconds, fused.seconds_below, bound.seconds) == pytest.approx((1.8, 3.0, 1.5))
    assert (recorded.seconds, recorded.seconds_below) == pytest.approx((4 * 0.3, 4 * 0.6))
    assert [outcome.difference for outcome in ladder.outcomes] == [0.0, 0.0, 0.0]


def test_a_batch_runs_on_the_highest_rung_that_serves_its_shape(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    gpu.ways()
    answers(ladder, ROWS)
    answers(ladder, ROWS[:2])  # no recording of two
    answers(ladder, [[5] * 6])  # no recording of this length
    assert gpu.ways() == ["replayed", "bound", "bound"]


def test_what_gains_nothing_is_not_kept_unless_it_is_pinned(
    gpu: StandIn, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    gpu.seconds = dict.fromkeys(gpu.seconds, 1.0)
    gpu.seconds["fused"] = 0.98
    assert states(ladder_of(bundle)) == dict.fromkeys(RUNGS, "no_gain")
    told = [message for message in caplog.messages if "not kept" in message]
    assert [message.partition(": ")[2].partition(" is")[0] for message in told] == list(RUNGS)
    assert states(ladder_of(bundle, ",".join(RUNGS))) == dict.fromkeys(RUNGS, "on")


def test_the_first_rung_must_answer(gpu: StandIn, bundle: Bundle) -> None:
    gpu.off["composed"] = float("nan")
    with pytest.raises(BundleError, match="gives no answer in bucket 4: logits is not finite"):
        ladder_of(bundle)


def test_the_first_rung_must_give_the_known_answer(gpu: StandIn, bundle: Bundle) -> None:
    # CLS 1, the text's 3 and 4, SEP 2: their sum is 10, and the standard deviation of 10, 20, 30 is the root of 200/3.
    expected = [KnownOutput("logits", [10.0, 20.0, 30.0], 20.0, 8.16497)]
    known = KnownAnswer("three four", [3, 4], [KnownRun(4, SHORT, expected, 1e-3)])
    bundle = replace(bundle, manifest=replace(bundle.manifest, known_answer=known))
    assert states(ladder_of(bundle)) == dict.fromkeys(RUNGS, "on")
    gpu.off["composed"] = 0.1
    with pytest.raises(BundleError, match=r"value 1 of logits is 10\.1, expected 10 within 0\.001"):
        ladder_of(bundle)


def fail_run(gpu: StandIn, ways: tuple[Way, ...], error: Callable[[], Exception]) -> None:
    def refuse(way: Way, shape: tuple[int, int]) -> None:
        if way in ways:
            raise error()

    gpu.before_run = refuse


def _own_class(name: str, text: str) -> Callable[[StandIn, tuple[Way, ...]], None]:
    from onnxruntime.capi import onnxruntime_pybind11_state as classes  # whatever it raises comes from there

    return lambda gpu, ways: fail_run(gpu, ways, lambda: getattr(classes, name)(text))


def _off(by: float) -> Callable[[StandIn, tuple[Way, ...]], None]:
    return lambda gpu, ways: gpu.off.update(dict.fromkeys(ways, by))


def _no_place(gpu: StandIn, ways: tuple[Way, ...]) -> None:
    def refuse() -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 4096")

    if ways != ("bound",):
        fail_run(gpu, ways, lambda: RuntimeError("CUDA failure 2: out of memory ; GPU=0 ; hostname=somewhere ;"))
    else:
        gpu.before_place = refuse


FAILURES = [
    pytest.param(_no_place, "failed", id="an allocation is refused"),
    pytest.param(
        _own_class("NotImplemented", "Could not find an implementation for MultiHeadAttention(1) node"),
        "failed",
        id="an operator is missing",
    ),
    pytest.param(
        _own_class("Fail", "CUDA failure 900: operation not permitted when stream is capturing"),
        "failed",
        id="it cannot be recorded",
    ),
    pytest.param(_own_class("EPFail", "the execution provider failed"), "failed", id="onnxruntime's own class"),
    pytest.param(_off(0.1), "wrong", id="wrong by 0.1"),
    pytest.param(_off(float("nan")), "wrong", id="NaN"),
]


@pytest.mark.parametrize(("fault", "state"), FAILURES)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_that_fails_at_start_is_off_and_the_one_below_answers(
    gpu: StandIn,
    bundle: Bundle,
    caplog: pytest.LogCaptureFixture,
    rung: RungName,
    fault: Callable[[StandIn, tuple[Way, ...]], None],
    state: str,
) -> None:
    fault(gpu, AT_START[rung])
    ladder = ladder_of(bundle, rung)
    assert states(ladder)[rung] == state
    (told,) = warnings(caplog)
    assert rung in told and "hostname" not in told
    gpu.ways()
    answers(ladder, ROWS)
    assert gpu.ways() == ["composed"]


@pytest.mark.parametrize(("fault", "state"), FAILURES)
@pytest.mark.parametrize("rung", RUNGS)
def test_a_rung_that_fails_later_is_off_and_the_batch_runs_again_on_the_one_below(
    gpu: StandIn,
    bundle: Bundle,
    caplog: pytest.LogCaptureFixture,
    rung: RungName,
    fault: Callable[[StandIn, tuple[Way, ...]], None],
    state: str,
) -> None:
    ladder = ladder_of(bundle, rung)
    fault(gpu, AT_START[rung])
    if state == "wrong":
        ladder.check()
    rows = [[1, 2, 3, 4]] if rung == "cuda_graphs" else [[1, 2, 3, 4, 5, 6]]
    answers(ladder, rows)
    assert states(ladder)[rung] == state
    (told,) = warnings(caplog)
    assert re.search(rf"{rung} off until the restart", told)
    gpu.ways()
    answers(ladder, rows)
    assert gpu.ways() == ["composed"]


def test_nan_on_the_way_is_computed_again_below(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    gpu.off["replayed"] = float("nan")
    answers(ladder, ROWS)
    assert states(ladder) == {"fused_attention": "on", "iobinding": "on", "cuda_graphs": "wrong"}


@pytest.mark.parametrize("what", ["load", "record"])
def test_a_graph_that_cannot_be_recorded_is_run_as_it_is(gpu: StandIn, bundle: Bundle, what: str) -> None:
    def refuse(file: str, settings: dict[str, str]) -> None:
        if "enable_cuda_graph" in settings:
            raise RuntimeError("all compute graph nodes have not been partitioned to the CUDA EP")

    if what == "load":
        gpu.before_load = refuse
    else:
        gpu.stale = True
    ladder = ladder_of(bundle)
    expected = {"load": "failed", "record": "wrong"}[what]
    assert states(ladder) == {"fused_attention": "on", "iobinding": "on", "cuda_graphs": expected}
    gpu.ways()
    answers(ladder, ROWS)
    assert gpu.ways() == ["bound"]


def test_what_stands_on_a_rung_that_fails_later_falls_with_it_in_one_line(
    gpu: StandIn, bundle: Bundle, caplog: pytest.LogCaptureFixture
) -> None:
    ladder = ladder_of(bundle)
    fail_run(gpu, ("fused", "bound", "replayed"), lambda: RuntimeError("CUDNN_STATUS_EXECUTION_FAILED"))
    answers(ladder, ROWS)
    assert set(states(ladder).values()) == {"failed"}
    (told,) = warnings(caplog)
    assert "cuda_graphs, iobinding, fused_attention off" in told


def test_a_batch_that_is_to_blame_itself_costs_no_rung(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    everywhere: tuple[Way, ...] = ("composed", "fused", "bound", "replayed")
    fail_run(gpu, everywhere, lambda: RuntimeError("indices element out of data bounds"))
    with pytest.raises(RuntimeError, match="out of data bounds"):
        answers(ladder, ROWS)
    gpu.before_run = lambda way, shape: None
    gpu.off = dict.fromkeys(everywhere, float("nan"))
    assert np.isnan(ladder.sessions["full"].run(batch(ROWS))["logits"]).all()
    assert states(ladder) == dict.fromkeys(RUNGS, "on")


def test_a_batch_without_room_is_to_be_halved_before_a_rung_is_blamed(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    fail_run(gpu, ("fused", "bound", "replayed"), lambda: RuntimeError("CUDA failure 2: out of memory"))
    with pytest.raises(OutOfMemory):
        answers(ladder, ROWS)
    assert states(ladder) == dict.fromkeys(RUNGS, "on")
    answers(ladder, ROWS[:1])
    assert set(states(ladder).values()) == {"failed"}


def test_a_rung_that_runs_the_same_graph_may_differ_by_rounding_only(gpu: StandIn, bundle: Bundle) -> None:
    gpu.off = dict.fromkeys(("fused", "bound"), 5e-5)  # half of what the manifest allows
    assert states(ladder_of(bundle, "fused_attention,iobinding"))["fused_attention"] == "on"
    gpu.off = {"bound": 5e-5}
    ladder = ladder_of(bundle, "fused_attention,iobinding")
    assert states(ladder)["iobinding"] == "wrong"
    assert "differs by 5e-05, and 1e-05 is allowed" in ladder.outcomes[1].reason


@pytest.mark.parametrize(("differs", "state"), [("padding", "on"), ("a token", "wrong")])
def test_what_a_rung_gives_for_padding_is_nobodys_answer(differs: str, state: str) -> None:
    """A model that gives two numbers for each token, of which the last one of the batch is padding."""
    expected = np.zeros((1, 4, 2), dtype=np.float32)
    found = expected.copy()
    found[0, 3 if differs == "padding" else 2] = 7
    levels = [
        Level(rung, SimpleNamespace(run=lambda batch, outputs=outputs: {"logits": outputs}))
        for rung, outputs in ((None, expected), ("iobinding", found))
    ]
    others = {rung: RungOutcome(rung, "not_asked") for rung in RUNGS}
    ladder = Ladder("model", fake_manifest("ner"), {"full": levels}, others, pinned=True)
    ladder.compare([Probe("full", batch([[1, 5, 2, 0]]), 1e-3)])
    assert states(ladder)["iobinding"] == state


@pytest.mark.parametrize(
    ("error", "state"), [("CUDA failure 2: out of memory", "on"), ("CUDNN_STATUS_EXECUTION_FAILED", "failed")]
)
def test_a_rung_that_raises_when_it_is_asked_again_is_off_unless_it_found_no_room(
    gpu: StandIn, bundle: Bundle, caplog: pytest.LogCaptureFixture, error: str, state: str
) -> None:
    ladder = ladder_of(bundle)
    fail_run(gpu, ("bound", "replayed"), lambda: RuntimeError(error))
    ladder.check()
    assert states(ladder) == {"fused_attention": "on", "iobinding": state, "cuda_graphs": state}
    assert len(warnings(caplog)) == (state == "failed")


@pytest.mark.parametrize("moment", ["the start", "a run", "a recording", "the check"])
def test_a_device_that_is_lost_is_lost(gpu: StandIn, bundle: Bundle, moment: str) -> None:
    ladder = ladder_of(bundle)
    ways: tuple[Way, ...] = ("recorded",) if moment == "a recording" else ("replayed", "bound")
    fail_run(gpu, ways, lambda: RuntimeError("CUDA failure 700: an illegal memory access was encountered ; GPU=0"))
    with pytest.raises(DeviceLost):
        match moment:
            case "the start":
                climb(ladder)
            case "a run":
                answers(ladder, ROWS)
            case "a recording":
                ladder.sessions["full"].capture([Shape(2, SHORT)])
            case _:
                ladder.check()


def test_a_first_rung_that_answers_otherwise_than_at_the_start_is_a_lost_device(gpu: StandIn, bundle: Bundle) -> None:
    ladder = ladder_of(bundle)
    ladder.check()
    gpu.off["composed"] = 0.1
    with pytest.raises(DeviceLost, match="does not give the answers any more"):
        ladder.check()


def test_recordings_stop_where_they_gain_nothing_or_find_no_room(gpu: StandIn, bundle: Bundle) -> None:
    ladder = CudaDevice("cuda:0").open(bundle).ladder
    assert ladder is not None
    session: Any = ladder.sessions["full"]
    assert isinstance(session, CapturingSession)
    gains = gpu.least_seconds

    def large_ones_gain_nothing(run: Callable[[], object], clock: object) -> float:
        seconds = gains(run, clock)
        return 9.0 if gpu.runs[-1][1][0] > 1 else seconds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("bigbird_inference.runtime.cuda.cuda_graphs.least_seconds", large_ones_gain_nothing)
        assert session.capture([Shape(3, 4), Shape(2, 4), Shape(1, 4), Shape(1, 10)]) == [Shape(1, 4), Shape(1, 10)]
    assert not [run for run in gpu.runs if run[1] == (3, 4)]

    def no_room() -> None:
        raise RuntimeError("Failed to allocate memory for requested buffer of size 4096")

    gpu.before_place = no_room
    assert session.capture([Shape(2, 10)]) == [Shape(1, 4), Shape(1, 10)]
    assert states(ladder)["cuda_graphs"] == "waiting"


def test_no_more_than_so_many_are_recorded_or_get_places(
    gpu: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigbird_inference.runtime.cuda.cuda_graphs.MOST_RECORDINGS", 2)
    monkeypatch.setattr("bigbird_inference.runtime.cuda.iobinding.MOST_SHAPES", 2)
    ladder = ladder_of(bundle)
    assert ladder.sessions["full"].drop_wrong_captures() == [Shape(1, SHORT), Shape(1, EDGE)]
    gpu.ways()
    answers(ladder, [[5] * 6])
    assert gpu.ways() == ["fused"], "the two probes have taken the places"


def test_a_batch_that_the_fused_kernels_cannot_lay_out_runs_on_the_composed_graph(
    gpu: StandIn, bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigbird_inference.runtime.cuda.fused_attention._LONGEST_GRID_AXIS", 12)
    ladder = ladder_of(bundle, "fused_attention")
    gpu.ways()
    # One sequence for a document of full attention; 16 tokens in blocks of 2 have 6 middle rows.
    for kind, length, rows in (("full", 4, 12), ("full", 4, 13), ("block_sparse", 16, 2), ("block_sparse", 16, 3)):
        ladder.sessions[kind].run(batch([[1] * length] * rows))  # type: ignore[index]
    assert gpu.ways() == ["fused", "composed", "fused", "composed"]


@pytest.mark.parametrize(
    ("length", "most"),
    # An axis of a CUDA grid has 65,535 places. Full attention takes 12 for a document, one for each head; sparse
    # attention one for each head and each block but the first and the last: 12 * 14 at 1,024 tokens, 12 * 62 at
    # 4,096. 65,535 / 12 = 5,461.25, / 168 = 390.09, / 744 = 88.08.
    [(704, 5461), (1024, 390), (4096, 88)],
)
def test_fused_kernels_lay_out_so_many_documents_of_the_base_configuration(
    bundle: Bundle, length: int, most: int
) -> None:
    from bigbird_inference.runtime.cuda.fused_attention import open_level

    manifest = replace(bundle.manifest, block_size=64, model={**bundle.manifest.model, "num_attention_heads": 12})
    graph: Any = SimpleNamespace(
        manifest=manifest, attention="full" if length == 704 else "block_sparse", ordinary=lambda: None
    )
    serves = open_level(graph).serves
    assert serves(Shape(most, length)) and not serves(Shape(most + 1, length))


@pytest.mark.parametrize("features", ["none", "iobinding", "cuda_graphs"])
def test_a_run_whose_end_was_asked_for_gives_nothing(gpu: StandIn, bundle: Bundle, features: str) -> None:
    ladder = ladder_of(bundle, features)
    control = RunControl()
    control.terminate()
    gpu.ways()
    with pytest.raises(RunTerminated):
        ladder.sessions["full"].run(batch(ROWS), control)
    assert len(gpu.ways()) <= 1, "nor is it run again on the rung below"


def test_a_graph_that_takes_positions_has_no_fixed_places(bundle: Bundle) -> None:
    reasons = {rung: unfit(rung, fake_manifest("fill-mask")) or "" for rung in RUNGS}
    assert "composed graphs only" in reasons["fused_attention"]
    assert "positions" in reasons["iobinding"] and "positions" in reasons["cuda_graphs"]
    assert [unfit(rung, bundle.manifest) for rung in RUNGS] == [None, None, None]


def test_the_name_of_the_machine_is_not_told() -> None:
    text = "CUDA failure 2: out of memory ; GPU=0 ; hostname=c4327188c000000 ; expr=cudaMalloc(&p, size);"
    assert said_by(RuntimeError(text)) == "CUDA failure 2: out of memory ; GPU=0 ; expr=cudaMalloc(&p, size);"


@pytest.mark.parametrize(
    ("text", "rungs", "pinned"),
    [
        ("auto", RUNGS, False),
        ("none", (), True),
        ("cuda_graphs, fused_attention", ("fused_attention", "cuda_graphs"), True),
    ],
)
def test_features_are_read(text: str, rungs: tuple[RungName, ...], pinned: bool) -> None:
    features = GpuFeatures.parse(text)
    assert (features.rungs, features.pinned) == (rungs, pinned)
    assert GpuFeatures.parse(str(features)) == features


def test_a_feature_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="no 'graphs'; write auto, none, or some of fused_attention,iob"):
        GpuFeatures.parse("iobinding,graphs")
