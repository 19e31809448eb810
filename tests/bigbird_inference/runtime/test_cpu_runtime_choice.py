"""Which runtime runs a bundle on a CPU, and in which precision; nothing is loaded."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import cast

import pytest

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.extras import install_command
from bigbird_inference.manifest import (
    CpuPrecision,
    CpuRun,
    CpuRuntime,
    KnownAnswer,
    KnownOutput,
    KnownRun,
    Manifest,
    Parity,
    Precision,
)
from bigbird_inference.runtime import cpu_runtime_choice
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice, CpuDevice, PrecisionChoice, RuntimeChoice, as_run_by
from bigbird_inference.runtime.devices import DeviceUnavailable
from tests.fake_model import FakeSession, fake_bucket, fake_graph, fake_manifest

LENGTHS = (16, 32)
ORT = ("onnxruntime", "fp32")
OV = ("openvino", "fp32")
OV_BF16 = ("openvino", "bf16")


def described(
    precision: Precision = "fp32", measured: Iterable[CpuPrecision] = (), lengths: Sequence[int] = LENGTHS
) -> Manifest:
    manifest = fake_manifest("classify", lengths)
    runs = [CpuRun("openvino", own, "2026.4.1", [fake_bucket(length) for length in lengths], []) for own in measured]
    return replace(manifest, precision=precision, cpu_runs=runs)


def device(
    runtime: RuntimeChoice = "auto", precision: PrecisionChoice = "auto", *, installed: bool = True, units: bool = True
) -> CpuDevice:
    return CpuDevice(1, CpuChoice(runtime, precision), has_openvino=lambda: installed, has_bfloat16=lambda: units)


# What is asked for; then what is chosen for a bundle in fp32 without figures and with them, on a processor without
# units for bfloat16 and on one with them. None: it cannot be done anywhere.
INSTALLED = {
    ("auto", "auto"): (ORT, ORT, ORT, OV_BF16),
    ("auto", "fp32"): (ORT, ORT, ORT, ORT),
    ("auto", "bf16"): (OV_BF16, OV_BF16, OV_BF16, OV_BF16),
    ("onnxruntime", "auto"): (ORT, ORT, ORT, ORT),
    ("onnxruntime", "fp32"): (ORT, ORT, ORT, ORT),
    ("onnxruntime", "bf16"): None,
    ("openvino", "auto"): (OV, OV, OV, OV_BF16),
    ("openvino", "fp32"): (OV, OV, OV, OV),
    ("openvino", "bf16"): (OV_BF16, OV_BF16, OV_BF16, OV_BF16),
}
NOT_INSTALLED = {
    ("auto", "auto"): ORT,
    ("auto", "fp32"): ORT,
    ("auto", "bf16"): None,
    ("onnxruntime", "auto"): ORT,
    ("onnxruntime", "fp32"): ORT,
    ("onnxruntime", "bf16"): None,
    ("openvino", "auto"): None,
    ("openvino", "fp32"): None,
    ("openvino", "bf16"): None,
}
ASKED = [pytest.param(*asked, id=" ".join(asked)) for asked in INSTALLED]


@pytest.mark.parametrize(("runtime", "precision"), ASKED)
def test_the_fastest_is_taken_that_is_installed_suits_the_processor_and_is_measured(
    runtime: RuntimeChoice, precision: PrecisionChoice
) -> None:
    expected = INSTALLED[runtime, precision]
    if expected is None:
        with pytest.raises(DeviceUnavailable):
            device(runtime, precision)
        return
    without, with_figures = described(), described(measured=("fp32", "bf16"))
    found = [
        device(runtime, precision, units=units).chosen(manifest)
        for manifest in (without, with_figures)
        for units in (False, True)
    ]
    assert found == list(expected)


@pytest.mark.parametrize(("runtime", "precision"), ASKED)
def test_without_the_package_onnxruntime_is_taken_or_it_is_said_what_is_missing(
    runtime: RuntimeChoice, precision: PrecisionChoice
) -> None:
    expected = NOT_INSTALLED[runtime, precision]
    if expected is None:
        with pytest.raises(DeviceUnavailable):
            device(runtime, precision, installed=False)
        return
    assert device(runtime, precision, installed=False).chosen(described(measured=("fp32", "bf16"))) == expected


def test_what_is_not_measured_in_bfloat16_is_not_run_in_it_unasked() -> None:
    assert device().chosen(described(measured=("fp32",))) == ORT
    assert device("openvino").chosen(described(measured=("fp32",))) == OV


@pytest.mark.parametrize(("runtime", "precision"), [("auto", "auto"), ("onnxruntime", "auto"), ("auto", "fp32")])
def test_a_processor_is_asked_for_its_units_only_where_that_decides(
    runtime: RuntimeChoice, precision: PrecisionChoice
) -> None:
    """Asking imports OpenVINO."""

    def imported() -> bool:
        raise AssertionError("OpenVINO was imported")

    manifests = [described(), described(measured=("bf16",)) if runtime == "onnxruntime" else described("fp16")]
    for manifest in manifests:
        chosen = CpuDevice(1, CpuChoice(runtime, precision), has_openvino=lambda: True, has_bfloat16=imported)
        assert chosen.chosen(manifest) == ORT


# By how a bundle is made: what runs it if nothing is asked for, if OpenVINO is, and why OpenVINO does not.
UNFIT = [
    pytest.param(described("fp16", ("bf16",)), "a bundle in fp16 is for GPUs, .* --precision fp32$", id="fp16"),
    pytest.param(described("bf16", ("bf16",)), "a bundle in bf16 is for GPUs, .* --precision fp32$", id="bf16"),
    pytest.param(described("int8"), r"no graphs for it; export the checkpoint again .*\[nncf\]'\)$", id="int8"),
    pytest.param(
        replace(described(), graphs=[replace(fake_graph(32), attention_kernel="fused")]),
        "standard operators only; export the checkpoint with --attention composed$",
        id="the fused kernel alone",
    ),
    pytest.param(
        described(measured=("bf16",), lengths=(16, 40)),
        "whole 16 tokens, of which 40 is none; run it in onnxruntime$",
        id="a bucket of other than whole 16 tokens",
    ),
]


@pytest.mark.parametrize(("manifest", "why"), UNFIT)
def test_what_openvino_does_not_run_is_run_in_onnxruntime_or_refused_if_openvino_was_named(
    manifest: Manifest, why: str
) -> None:
    assert device().chosen(manifest) == ORT
    assert device("onnxruntime").chosen(manifest) == ORT
    for named in (device("openvino"), device("openvino", "fp32"), device("auto", "bf16")):
        with pytest.raises(BundleError, match=f"^OpenVINO was asked for, and .*{why}"):
            named.chosen(manifest)


def int8_graphs(measured: Iterable[CpuPrecision], calibrated_on: int) -> Manifest:
    manifest = described("int8", measured)
    runs = [replace(run, graphs=[fake_graph(32)], calibrated_on=calibrated_on) for run in manifest.cpu_runs]
    return replace(manifest, cpu_runs=runs)


def test_int8_graphs_without_fixed_ranges_are_run_in_openvino_in_bfloat16_or_where_it_was_named() -> None:
    """In float32 they are slower than onnxruntime's."""
    manifest = int8_graphs(("fp32", "bf16"), calibrated_on=0)
    assert device().chosen(manifest) == OV_BF16
    assert device(units=False).chosen(manifest) == ORT
    assert device("auto", "fp32").chosen(manifest) == ORT
    assert device("openvino", units=False).chosen(manifest) == OV


def test_int8_graphs_are_not_run_in_what_they_were_not_measured_in() -> None:
    """What stands in for them there, the graphs for onnxruntime, is not what was meant."""
    manifest = int8_graphs(("bf16",), calibrated_on=8)
    assert device(units=False).chosen(manifest) == ORT
    with pytest.raises(BundleError, match=r"^OpenVINO was asked for, and .* not measured in fp32; export"):
        device("openvino", "fp32").chosen(manifest)


def test_int8_graphs_of_openvino_are_run_there_unless_onnxruntime_was_named() -> None:
    """With fixed ranges they are faster than onnxruntime's whatever the rest is computed in."""
    manifest = int8_graphs(("fp32", "bf16"), calibrated_on=8)
    assert device().chosen(manifest) == OV_BF16
    assert device(units=False).chosen(manifest) == OV
    assert device("auto", "fp32").chosen(manifest) == OV
    assert device("onnxruntime").chosen(manifest) == ORT
    assert device(installed=False).chosen(manifest) == ORT
    assert as_run_by(replace(manifest, max_batch_items=1), "openvino", "fp32").max_batch_items is None


@pytest.mark.parametrize(
    ("runtime", "precision", "installed", "said"),
    [
        pytest.param(
            "openvino", "auto", False, f"OpenVINO is not installed; run {install_command('openvino')}", id="the runtime"
        ),
        pytest.param("auto", "bf16", False, f"OpenVINO is not installed; run {install_command('openvino')}", id="bf16"),
        pytest.param(
            "onnxruntime",
            "bf16",
            True,
            "onnxruntime computes in fp32 on a CPU; bf16 takes the runtime openvino",
            id="bf16 in onnxruntime",
        ),
    ],
)
def test_what_cannot_be_done_here_is_said_in_one_line(
    runtime: RuntimeChoice, precision: PrecisionChoice, installed: bool, said: str
) -> None:
    with pytest.raises(DeviceUnavailable) as refused:
        device(runtime, precision, installed=installed)
    assert str(refused.value) == said


def test_a_bundle_is_opened_as_was_chosen_and_a_refusal_names_its_manifest(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[tuple[str, dict[str, object]]] = []

    def opener(runtime: str) -> object:
        def open_graph(graph: object, manifest: Manifest, **options: object) -> FakeSession:
            opened.append((runtime, options))
            return FakeSession()

        return open_graph

    monkeypatch.setattr(cpu_runtime_choice, "open_session", opener("onnxruntime"))
    monkeypatch.setattr(cpu_runtime_choice, "open_openvino_session", opener("openvino"))
    folder = tmp_path_factory.mktemp("bundle")
    bundle = Bundle(folder, described(measured=("bf16",)))
    for own in (device(), device("auto", "fp32"), device("openvino", "fp32")):
        graphs = own.open(bundle)
        assert list(graphs.sessions) == ["full"]
        opened.append((graphs.runtime, {"computes in": graphs.computes_in}))
    assert opened == [
        ("openvino", {"precision": "bf16", "threads": 1}),
        ("openvino", {"computes in": "bf16"}),
        ("onnxruntime", {"device": "cpu", "threads": 1}),
        ("onnxruntime", {"computes in": "fp32"}),
        ("openvino", {"precision": "fp32", "threads": 1}),
        ("openvino", {"computes in": "fp32"}),
    ]
    with pytest.raises(BundleError, match="^" + str(folder / "manifest.json") + ": OpenVINO was asked for, and "):
        device("openvino").open(Bundle(folder, described("fp16")))


def known(tolerance: float) -> KnownRun:
    return KnownRun(3, 16, [KnownOutput("logits", [1.0, 2.0], 1.5, 0.5)], tolerance)


def with_known_answer(*measured: CpuPrecision) -> Manifest:
    """Its logits have a standard deviation of 4; OpenVINO's figures and known answer are others."""
    parity = Parity("composed", 0.5, 0.1, 4.0, 0.9, None, 1.0, [16], checked_with="openvino")
    spread = replace(fake_bucket(16), parity=[replace(fake_bucket(16).parity[0], logits_std=4.0)])
    runs = [
        CpuRun("openvino", precision, "1", [replace(spread, parity=[parity])], [known(0.25)]) for precision in measured
    ]
    manifest = fake_manifest("classify", (16,))
    fused = replace(fake_graph(16), file="fused.onnx", attention_kernel="fused")
    return replace(
        manifest,
        buckets=[spread],
        graphs=[*manifest.graphs, fused],
        known_answer=KnownAnswer("a", [5], [known(1e-4)]),
        cpu_runs=runs,
    )


@pytest.mark.parametrize(
    ("runtime", "precision", "measured", "tolerance"),
    [
        pytest.param("onnxruntime", "fp32", ("fp32", "bf16"), 1e-4, id="onnxruntime"),
        pytest.param("openvino", "fp32", (), 1e-4, id="fp32 without figures"),
        pytest.param("openvino", "bf16", (), 2.0, id="bf16 without figures: half a standard deviation"),
        pytest.param("openvino", "bf16", ("fp32",), 2.0, id="bf16 with other figures"),
        pytest.param("openvino", "bf16", ("fp32", "bf16"), 0.25, id="bf16 with its own figures"),
    ],
)
def test_a_manifest_holds_for_what_runs_the_bundle(
    runtime: CpuRuntime, precision: CpuPrecision, measured: tuple[CpuPrecision, ...], tolerance: float
) -> None:
    manifest = with_known_answer(*measured)
    found = as_run_by(manifest, runtime, precision)
    assert cast(KnownAnswer, found.known_answer).runs == [known(tolerance)]
    assert cast(KnownAnswer, found.known_answer).token_ids == [5]
    own = precision in measured and runtime == "openvino"
    assert found.buckets == (manifest.cpu_runs[measured.index(precision)].buckets if own else manifest.buckets)
    assert [graph.attention_kernel for graph in found.graphs if not own or graph.attention_kernel == "fused"] == (
        [] if own else ["composed", "fused"]
    )
