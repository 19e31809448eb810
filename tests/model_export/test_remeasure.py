"""What OpenVINO makes of a bundle, measured at export and afterwards."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from bigbird_inference.bundle import open_bundle, read_manifest, write_manifest
from bigbird_inference.extras import install_command
from bigbird_inference.manifest import CpuRun, Manifest
from bigbird_inference.runtime import quiet_openvino
from model_export.errors import ExportError
from model_export.export import cpu_runs
from model_export.export.cpu_runs import can_be_measured, unfit_for_measuring
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from model_export.remeasure import measure_bundle
from tests.cpu_runtimes import exports_with_openvino
from tests.fake_model import fake_bucket, fake_graph, fake_manifest
from tests.model_export.conftest import Messages, SmallExport

BLOCKS = fake_manifest("ner", (16, 32))


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        pytest.param(BLOCKS, None, id="fp32"),
        pytest.param(replace(BLOCKS, precision="int8"), "this one is in int8; export the checkpoint with", id="int8"),
        pytest.param(replace(BLOCKS, precision="fp16"), "is for GPUs, .* export it with --precision fp32", id="fp16"),
        pytest.param(
            replace(BLOCKS, graphs=[replace(fake_graph(32), attention_kernel="fused")]),
            "export the checkpoint with --attention composed",
            id="the fused kernel alone",
        ),
        pytest.param(replace(BLOCKS, buckets=[fake_bucket(24)]), "of which 24 is none", id="a bucket of 24 tokens"),
    ],
)
def test_a_bundle_is_measured_or_it_is_said_why_not(
    manifest: Manifest, why: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = unfit_for_measuring(manifest)
    assert found is None if why is None else re.search(why, found or "")
    assert not can_be_measured(manifest), "it is not installed"
    monkeypatch.setattr(quiet_openvino, "installed", lambda: True)
    assert can_be_measured(manifest) == (why is None)


def test_the_command_says_what_to_install(tmp_path: Path) -> None:
    done = CliRunner().invoke(main, ["measure", str(tmp_path)])
    assert done.exit_code == 1
    assert done.output == f"Error: OpenVINO is not installed: {install_command('openvino')}\n"


def test_an_export_without_openvino_measures_nothing(small_export: SmallExport) -> None:
    assert small_export.manifest.cpu_runs == []
    assert "OpenVINO" not in small_export.messages


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(lambda folder: (folder / "weights.bin").write_bytes(b""), r"weights\.bin: ", id="a changed file"),
        pytest.param(lambda folder: shutil.rmtree(folder), "no such folder", id="no folder"),
        pytest.param(
            lambda folder: write_manifest(replace(read_manifest(folder), precision="int8"), folder),
            "bundle: is not measured in OpenVINO: bundles in fp32 are measured",
            id="int8",
        ),
    ],
)
def test_what_is_not_measured_is_said_in_one_line_that_names_it(
    small_export: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spoil: object, said: str
) -> None:
    monkeypatch.setattr(quiet_openvino, "installed", lambda: True)
    folder = copied(small_export, tmp_path)
    assert callable(spoil)
    spoil(folder)
    done = CliRunner().invoke(main, ["measure", str(folder)])
    assert done.exit_code == 1
    with pytest.raises(ExportError, match=said) as refused:
        measure_bundle(folder)
    assert done.output == f"Error: {refused.value}\n"
    assert str(folder) in done.output and done.output.count("\n") == 1


def copied(small_export: SmallExport, folder: Path) -> Path:
    return Path(shutil.copytree(small_export.bundle, folder / "bundle"))


@pytest.fixture(scope="module")
def openvino() -> Iterator[None]:
    with exports_with_openvino():
        yield


@pytest.fixture(scope="module")
def measured(small_export: SmallExport, tmp_path_factory: pytest.TempPathFactory, openvino: None) -> Path:
    """The small bundle, measured by the command."""
    folder = copied(small_export, tmp_path_factory.mktemp("measured"))
    done = CliRunner().invoke(main, ["measure", str(folder)])
    assert done.exit_code == 0, done.output
    version = quiet_openvino.version()
    assert [line.partition(": largest difference ")[0] for line in done.stdout.splitlines()] == [
        f"bundle: OpenVINO {version} in fp32",
        f"bundle: OpenVINO {version} in bf16",
    ]
    return folder


def check_figures(runs: list[CpuRun], manifest: Manifest) -> None:
    """Check that runs are in fp32 and in bf16, of every bucket, and as near as these precisions are."""
    assert [(run.runtime, run.precision, run.version, run.graphs) for run in runs] == [
        ("openvino", "fp32", quiet_openvino.version(), []),
        ("openvino", "bf16", quiet_openvino.version(), []),
    ]
    for run in runs:
        assert [(bucket.length, bucket.attention) for bucket in run.buckets] == [
            (bucket.length, bucket.attention) for bucket in manifest.buckets
        ]
        for bucket, own in zip(run.buckets, manifest.buckets, strict=True):
            (parity,) = bucket.parity
            assert (parity.checked_with, parity.attention_kernel) == ("openvino", "composed")
            assert parity.documents == own.parity[0].documents
            assert parity.logits_std == pytest.approx(own.parity[0].logits_std, rel=1e-3)
            assert 0 < parity.mean_abs_difference < parity.max_abs_difference <= parity.tolerance
            # bfloat16 has 8 bits of a number, float32 24.
            spread = parity.max_abs_difference / parity.logits_std
            assert 1e-4 < spread < 0.5 if run.precision == "bf16" else spread < 1e-4
            assert parity.agreement is not None and parity.agreement > 0.9
            assert bucket.peak_memory_bytes is not None
        known = manifest.known_answer
        assert known is not None
        assert [(one.length, one.bucket) for one in run.known_runs] == [(one.length, one.bucket) for one in known.runs]


@pytest.mark.integration
def test_a_finished_bundle_is_measured_and_replaced_by_one_with_the_figures(
    small_export: SmallExport, measured: Path
) -> None:
    bundle = open_bundle(measured)
    check_figures(bundle.manifest.cpu_runs, small_export.manifest)
    assert replace(bundle.manifest, cpu_runs=[]) == small_export.manifest
    files = {file.name for file in small_export.bundle.iterdir()}
    assert {file.name for file in measured.iterdir()} == files
    for name in files - {"manifest.json"}:
        assert (measured / name).read_bytes() == (small_export.bundle / name).read_bytes()
    assert [entry.name for entry in measured.parent.iterdir()] == ["bundle"], "nothing hidden is left"


@pytest.mark.integration
def test_a_bundle_is_measured_again_in_place_of_what_was_measured(small_export: SmallExport, measured: Path) -> None:
    before = read_manifest(measured).cpu_runs
    again = measure_bundle(measured)
    check_figures(again, small_export.manifest)
    for run, earlier in zip(again, before, strict=True):
        assert [bucket.parity for bucket in run.buckets] == [bucket.parity for bucket in earlier.buckets]
        assert run.known_runs == earlier.known_runs


@pytest.mark.integration
@pytest.mark.usefixtures("openvino")
def test_an_export_measures_against_torch_what_is_there(
    small_export: SmallExport, measured: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages = Messages()
    monkeypatch.setattr("sys.stderr", messages)
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", ExportOptions(buckets=(112, 160)))
    check_figures(manifest.cpu_runs, small_export.manifest)
    assert open_bundle(tmp_path / "bundle").manifest == manifest
    # The graphs in onnxruntime stand in for torch, and are that near to it.
    for run, afterwards in zip(manifest.cpu_runs, read_manifest(measured).cpu_runs, strict=True):
        for bucket, other in zip(run.buckets, afterwards.buckets, strict=True):
            difference = bucket.parity[0].max_abs_difference - other.parity[0].max_abs_difference
            assert abs(difference) < 2e-5
    assert "not recorded" not in "".join(messages.written)


@pytest.mark.integration
@pytest.mark.usefixtures("openvino")
def test_what_openvino_computes_too_far_off_is_told_at_export_and_left_out(
    small_export: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_runs, "_TOLERANCE", 1e-6)
    messages = Messages()
    monkeypatch.setattr("sys.stderr", messages)
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", ExportOptions(buckets=(112,)))
    assert [run.precision for run in manifest.cpu_runs] == ["fp32"]
    assert "bundle: OpenVINO in bf16 is not recorded: bucket 112: outputs differ from torch by" in "".join(
        messages.written
    )


@pytest.mark.integration
@pytest.mark.usefixtures("openvino")
def test_a_finished_bundle_that_openvino_computes_too_far_off_stays_as_it_is(
    small_export: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cpu_runs, "_TOLERANCE", 1e-6)
    folder = copied(small_export, tmp_path)
    with pytest.raises(ExportError, match=r"bucket 1(12|60): outputs differ from .* by"):
        measure_bundle(folder)
    assert read_manifest(folder) == small_export.manifest
    assert [entry.name for entry in tmp_path.iterdir()] == ["bundle"]
