from dataclasses import replace
from pathlib import Path

import pytest

from bigbird_inference.bundle import Bundle, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.cuda.features import GpuFeatures, RungOutcome
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable
from bigbird_inference.runtime.graph_sessions import OpenedGraphs
from service.models.loading import choose_devices, load_models
from service.models.model_folder import find_bundles
from service.settings import InvalidSettings, Settings
from tests.fake_model import (
    FakeSession,
    fake_bucket,
    fake_graph,
    fake_loaded_model,
    fake_manifest,
)


def write_bundle(folder: Path) -> Path:
    folder.mkdir()
    write_manifest(fake_manifest("ner"), folder)
    return folder


def test_every_folder_with_a_manifest_is_a_bundle(tmp_path: Path) -> None:
    second, first = write_bundle(tmp_path / "second"), write_bundle(tmp_path / "first")
    (tmp_path / "notes").mkdir()
    assert find_bundles(tmp_path) == {"first": first, "second": second}
    with pytest.raises(BundleError, match="unset BIGBIRD_MODEL_NAME, or set BIGBIRD_MODELS to one of them"):
        find_bundles(tmp_path, "third")


def test_a_folder_that_is_a_bundle_is_taken_itself(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "one")
    assert find_bundles(folder) == {"one": folder}


def test_a_folder_without_bundles_stops_the_start_by_name(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="no bundle in it") as error:
        load_models(Settings(models=tmp_path))
    assert str(tmp_path) in str(error.value)
    with pytest.raises(BundleError, match="no such folder"):
        load_models(Settings(models=tmp_path / "missing"))


def test_a_missing_file_stops_the_start_by_name(tmp_path: Path) -> None:
    write_bundle(tmp_path / "one")
    with pytest.raises(BundleError, match=r"weights\.bin: missing"):
        load_models(Settings(models=tmp_path))


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, object]]]:
    """Two GPUs that open anything; what they were asked for."""
    asked: list[tuple[str, dict[str, object]]] = []

    class Device:
        def __init__(self, name: str, **options: object) -> None:
            self.name = name
            asked.append((name, options))

        def open(self, bundle: Bundle) -> OpenedGraphs:
            session = FakeSession()
            session.device = self.name  # type: ignore[attr-defined]
            return OpenedGraphs(bundle.manifest, {"full": session})

    def tried(bundle: Bundle, device: str, features: GpuFeatures, *others: object, **options: object) -> list[object]:
        assert (device, features, options) == ("cuda:0", GpuFeatures(), {"memory_limit_bytes": 100})
        return [RungOutcome("fused_attention", "on"), CRASHED]

    monkeypatch.setattr("service.models.loading.try_rungs", tried)
    monkeypatch.setattr("bigbird_inference.loaded_model.CudaDevice", Device)
    monkeypatch.setattr("service.models.loading.open_bundle", lambda folder: Bundle(folder, fake_manifest("classify")))
    monkeypatch.setattr("bigbird_inference.loaded_model.Tokenizer.from_bundle", lambda bundle: None)
    monkeypatch.setattr("bigbird_inference.loaded_model.create_task", lambda manifest, tokenizer: None)
    return asked


CRASHED = RungOutcome("cuda_graphs", "failed", "signal 11")
TWO_GPUS = Devices(("cuda:0", "cuda:2"), None, ("A", "B"))


def test_every_device_has_every_bucket_of_every_model_in_the_devices_order(
    tmp_path: Path, two_gpus: list[tuple[str, dict[str, object]]]
) -> None:
    for name in ("first", "second"):
        write_bundle(tmp_path / name)
    models = load_models(Settings(models=tmp_path, gpu_memory_limit_bytes=100), TWO_GPUS)
    assert list(models) == ["first", "second"]
    for model in models.values():
        assert model.devices == TWO_GPUS
        assert model.weights_bytes == 1
        for sessions in model.sessions.values():
            assert [session.device for session in sessions] == ["cuda:0", "cuda:2"]  # type: ignore[attr-defined]
        assert model.lengths == [8, 16]
        for bucket in model.buckets():
            own = [bucket.on(number).session for number in (0, 1)]
            assert [session.device for session in own] == ["cuda:0", "cuda:2"]  # type: ignore[attr-defined]
    # The rungs were tried on the first device, and hold for both.
    options = {"memory_limit_bytes": 100, "features": GpuFeatures(), "withheld": {"cuda_graphs": CRASHED}}
    assert two_gpus == 2 * [("cuda:0", options), ("cuda:2", options)]


@pytest.mark.usefixtures("two_gpus")
def test_a_bundle_is_served_under_the_name_that_it_is_given(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "models")
    models = load_models(Settings(models=folder, model_name="contracts", gpu_features="none"), TWO_GPUS)
    assert {name: model.name for name, model in models.items()} == {"contracts": "contracts"}


def test_all_buckets_of_a_graph_share_its_session() -> None:
    full, block_sparse = FakeSession(), FakeSession()
    model = fake_loaded_model()
    buckets = [fake_bucket(128, "block_sparse"), fake_bucket(88), fake_bucket(96, "block_sparse"), fake_bucket(8)]
    manifest = replace(model.manifest, graphs=[fake_graph(88), fake_graph(128, "block_sparse")], buckets=buckets)
    model = replace(model, manifest=manifest, sessions={"full": [full], "block_sparse": [block_sparse]})
    assert model.lengths == [8, 88, 96, 128]
    assert [(bucket.length, bucket.attention) for bucket in model.buckets()] == [
        (8, "full"),
        (88, "full"),
        (96, "block_sparse"),
        (128, "block_sparse"),
    ]
    assert [bucket.session for bucket in model.buckets()] == [full, full, block_sparse, block_sparse]


def test_a_device_that_cannot_be_used_stops_the_start_by_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(asked: str, probe: object) -> Devices:
        raise DeviceUnavailable(f"{asked} is not there")

    monkeypatch.setattr("service.models.loading.choose", refuse)
    with pytest.raises(InvalidSettings, match="BIGBIRD_DEVICE: cuda:7 is not there"):
        choose_devices(Settings(device="cuda:7"))
