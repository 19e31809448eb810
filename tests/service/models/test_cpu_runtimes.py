"""Which runtime serves a bundle on a CPU: chosen by settings and figures, tried, asked, and told."""

import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import SecretStr

from bigbird_inference.bundle import Bundle, open_bundle, read_manifest, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import describe_outputs, known_answer_batch
from bigbird_inference.manifest import CpuPrecision, CpuRun, KnownAnswer, KnownRun, Manifest
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice, CpuDevice
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.trial import try_bundle
from service.app import create_app
from service.models import loading
from service.models.loading import load_models
from service.security.access import key_line
from service.settings import InvalidSettings, Settings
from tests.cpu_runtimes import need_openvino
from tests.service.asynchronous import asynchronous
from tests.service.models.test_served_bundle import LENGTHS, TEXT, write_bundle
from tests.vocabularies import open_tokenizer

ROOT = Path(__file__).parents[3]
ADMIN = {"Authorization": "Bearer the-admin-key"}


def known_run(folder: Path, manifest: Manifest, token_ids: list[int], off: float = 0.0) -> KnownRun:
    """Return what the graph gives in the shorter bucket, or something else."""
    bundle = Bundle(folder, manifest)
    session = open_session(bundle.path(manifest.graphs[0].file), manifest, device="cpu", threads=1)
    outputs = session.run(known_answer_batch(manifest, token_ids, 3, LENGTHS[0]))
    (own,) = describe_outputs(manifest, outputs, 3)
    return KnownRun(3, LENGTHS[0], [replace(own, values=[value + off for value in own.values])], tolerance=2.0)


def write_measured_bundle(
    folder: Path, vocabulary: Path, precisions: tuple[CpuPrecision, ...] = (), off: float = 0.0
) -> None:
    """Write a bundle for classification with a known answer.

    Args:
        folder: Where.
        vocabulary: A SentencePiece model.
        precisions: Those in which it was measured in OpenVINO.
        off: By how much the known answers there are wrong.
    """
    write_bundle(folder, "classify", vocabulary)
    manifest = read_manifest(folder)
    ids = open_tokenizer(vocabulary).tokenize("a").ids.tolist()
    right, there = (known_run(folder, manifest, ids, wrong) for wrong in (0.0, off))
    runs = [CpuRun("openvino", precision, "2026.4.1", manifest.buckets, [there]) for precision in precisions]
    write_manifest(replace(manifest, known_answer=KnownAnswer("a", ids, [right]), cpu_runs=runs), folder)


@asynccontextmanager
async def served(models: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """Load what is in a folder and serve it."""
    key = SecretStr(key_line("operator", "the-admin-key"))
    app = create_app(Settings(models=models, threads=1, warm_up_seconds=0, device="cpu", admin_key=key, **settings))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await app.state.serving.warmed()
        yield client


async def told(client: httpx.AsyncClient) -> dict[str, tuple[str, str]]:
    """Return what runs each model, and what that computes in."""
    models = (await client.get("/v1/models")).json()["models"]
    return {model["name"]: (model["runtime"], model["computes_in"]) for model in models}


@pytest.fixture
def tried(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, CpuChoice]]:
    """What is tried in a process of its own, and how."""
    found: list[tuple[str, CpuChoice]] = []

    def noted(bundle: Bundle, threads: int, cpu: CpuChoice, given_up: threading.Event) -> None:
        found.append((bundle.name, cpu))
        try_bundle(bundle, threads, cpu, given_up)

    monkeypatch.setattr(loading, "try_bundle", noted)
    return found


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        pytest.param({"cpu_runtime": "openvino"}, "BIGBIRD_CPU_RUNTIME: OpenVINO is not installed; run ", id="runtime"),
        pytest.param({"cpu_precision": "bf16"}, "BIGBIRD_CPU_PRECISION: OpenVINO is not installed; run ", id="bf16"),
        pytest.param(
            {"cpu_runtime": "openvino", "cpu_precision": "bf16"},
            "BIGBIRD_CPU_RUNTIME: OpenVINO is not installed; run ",
            id="both",
        ),
        pytest.param(
            {"cpu_runtime": "onnxruntime", "cpu_precision": "bf16"},
            "BIGBIRD_CPU_RUNTIME: onnxruntime computes in fp32 on a CPU; bf16 takes the runtime openvino",
            id="what cannot be",
        ),
    ],
)
def test_a_start_that_cannot_be_names_the_setting_and_what_to_do(
    tmp_path: Path, control_vocabulary: Path, monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], said: str
) -> None:
    monkeypatch.setitem(CpuDevice.__init__.__kwdefaults__, "has_openvino", lambda: False)
    write_measured_bundle(tmp_path / "reports", control_vocabulary)
    with pytest.raises(InvalidSettings) as refused:
        load_models(Settings(models=tmp_path, threads=1, device="cpu", **settings))
    assert str(refused.value).startswith(said) and "\n" not in str(refused.value)
    assert "not installed" not in said or str(refused.value).endswith("[openvino]'")


# As where it is not installed: neither found nor imported.
START_WITHOUT = """
import sys
sys.modules["openvino"] = None
from service.process.server import serve
from service.settings import load_settings
sys.exit(serve(load_settings()))
"""


def test_a_server_without_the_package_ends_in_one_line(tmp_path: Path, control_vocabulary: Path) -> None:
    write_measured_bundle(tmp_path / "reports", control_vocabulary)
    environment = {"BIGBIRD_MODELS": str(tmp_path), "BIGBIRD_PORT": "0", "BIGBIRD_CPU_RUNTIME": "openvino"}
    ended = subprocess.run(
        [sys.executable, "-c", START_WITHOUT],
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ended.returncode == 1, ended.stderr
    (line,) = [line for line in ended.stderr.splitlines() if "BIGBIRD_CPU_RUNTIME: " in line]
    assert "OpenVINO is not installed; run pip install" in line and "[openvino]" in line
    assert "Traceback" not in ended.stderr


def test_figures_of_openvino_change_nothing_where_it_is_not_installed(
    tmp_path: Path, control_vocabulary: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(CpuDevice.__init__.__kwdefaults__, "has_openvino", lambda: False)
    write_measured_bundle(tmp_path / "reports", control_vocabulary, ("fp32", "bf16"), off=1000)
    model = load_models(Settings(models=tmp_path, threads=1, device="cpu"))["reports"]
    assert (model.runtime, model.computes_in) == ("onnxruntime", "fp32")
    assert model.manifest == read_manifest(tmp_path / "reports")


@asynchronous
async def test_the_trial_is_told_what_the_settings_say(
    tmp_path: Path, control_vocabulary: Path, tried: list[tuple[str, CpuChoice]]
) -> None:
    for name in ("first", "second"):
        write_measured_bundle(tmp_path / name, control_vocabulary)
    async with served(tmp_path, allow_failed_models=True, cpu_runtime="onnxruntime", cpu_precision="fp32") as client:
        assert tried == [(name, CpuChoice("onnxruntime", "fp32")) for name in ("first", "second")]
        assert await told(client) == {name: ("onnxruntime", "fp32") for name in ("first", "second")}


@pytest.fixture
def processor(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """One with units for bfloat16, or without."""
    need_openvino()
    monkeypatch.setitem(CpuDevice.__init__.__kwdefaults__, "has_bfloat16", lambda: request.param)


WITH_UNITS = pytest.mark.parametrize("processor", [True], ids=["units for bfloat16"], indirect=True)


@pytest.mark.integration
@pytest.mark.parametrize(
    ("processor", "measured", "settings", "expected"),
    [
        pytest.param(True, ("fp32", "bf16"), {}, ("openvino", "bf16"), id="by itself, with figures"),
        pytest.param(True, (), {}, ("onnxruntime", "fp32"), id="not without figures"),
        pytest.param(True, ("fp32",), {}, ("onnxruntime", "fp32"), id="not with those of fp32 alone"),
        pytest.param(False, ("fp32", "bf16"), {}, ("onnxruntime", "fp32"), id="not without units"),
        pytest.param(
            True, ("bf16",), {"cpu_precision": "fp32"}, ("onnxruntime", "fp32"), id="not if fp32 is asked for"
        ),
        pytest.param(False, (), {"cpu_precision": "bf16"}, ("openvino", "bf16"), id="bf16, asked for"),
        pytest.param(True, (), {"cpu_runtime": "openvino"}, ("openvino", "fp32"), id="openvino, asked for"),
        pytest.param(
            True, ("bf16",), {"cpu_runtime": "openvino"}, ("openvino", "bf16"), id="openvino, asked for, with figures"
        ),
    ],
    indirect=["processor"],
)
@pytest.mark.usefixtures("processor")
@asynchronous
async def test_a_bundle_is_served_in_what_was_chosen_and_that_is_told(
    tmp_path: Path,
    control_vocabulary: Path,
    measured: tuple[CpuPrecision, ...],
    settings: dict[str, Any],
    expected: tuple[str, str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    write_measured_bundle(tmp_path / "reports", control_vocabulary, measured)
    with caplog.at_level("INFO"):
        async with served(tmp_path, **settings) as client:
            assert await told(client) == {"reports": expected}
            answer = (await client.post("/classify", json={"text": TEXT})).json()
    assert answer["label"] == "report"
    runtime, precision = expected
    on = f"OpenVINO in {precision}" if runtime == "openvino" else "CPUExecutionProvider"
    assert f"loaded reports/graph-full.onnx on {on}" in caplog.messages


@pytest.mark.integration
@WITH_UNITS
@pytest.mark.usefixtures("processor")
def test_a_known_answer_is_the_runtimes_own(tmp_path: Path, control_vocabulary: Path) -> None:
    """With another one the model is refused in that runtime, and in no other."""
    write_measured_bundle(tmp_path / "reports", control_vocabulary, ("bf16",), off=1000)
    with pytest.raises(BundleError, match=r"known answer .* is not reproduced"):
        try_bundle(open_bundle(tmp_path / "reports"), 1, CpuChoice("openvino", "bf16"), threading.Event())
    for choice in (CpuChoice("openvino", "fp32"), CpuChoice("onnxruntime"), CpuChoice(precision="fp32")):
        try_bundle(open_bundle(tmp_path / "reports"), 1, choice, threading.Event())


@pytest.mark.integration
@WITH_UNITS
@pytest.mark.usefixtures("processor")
@asynchronous
async def test_a_wrong_known_answer_in_openvino_refuses_the_model(tmp_path: Path, control_vocabulary: Path) -> None:
    write_measured_bundle(tmp_path / "good", control_vocabulary, ("bf16",))
    write_measured_bundle(tmp_path / "bad", control_vocabulary, ("bf16",), off=1000)
    async with served(tmp_path, allow_failed_models=True, cpu_precision="bf16") as client:
        assert await told(client) == {"good": ("openvino", "bf16")}
        states = {state["name"]: state for state in (await client.get("/v1/models")).json()["states"]}
        assert (states["good"]["state"], states["bad"]["state"]) == ("ready", "failed")
        assert "known answer" in states["bad"]["failure"]
    async with served(tmp_path, allow_failed_models=True, cpu_runtime="onnxruntime") as client:
        assert set(await told(client)) == {"good", "bad"}


@pytest.mark.integration
@WITH_UNITS
@pytest.mark.usefixtures("processor")
@asynchronous
async def test_a_model_that_is_loaded_later_is_tried_and_served_in_the_chosen_runtime(
    tmp_path: Path, control_vocabulary: Path, tried: list[tuple[str, CpuChoice]]
) -> None:
    write_measured_bundle(tmp_path / "first", control_vocabulary)
    async with served(tmp_path, cpu_runtime="openvino", cpu_precision="bf16") as client:
        write_measured_bundle(tmp_path / "second", control_vocabulary, ("bf16",))
        loaded = await client.post("/v1/models/second/load", headers=ADMIN)
        assert loaded.is_success, loaded.text
        write_measured_bundle(tmp_path / "third", control_vocabulary, ("bf16",), off=1000)
        refused = await client.post("/v1/models/third/load", headers=ADMIN)
        assert refused.status_code == 422 and "known answer" in refused.json()["detail"]
        assert await told(client) == {name: ("openvino", "bf16") for name in ("first", "second")}
    assert tried == [(name, CpuChoice("openvino", "bf16")) for name in ("second", "third")]
