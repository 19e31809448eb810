from pathlib import Path

import pytest

from service.bundle import Bundle, write_manifest
from service.errors import BundleError
from service.loading import choose_devices, load_models
from service.model_folder import find_bundles
from service.runtime.devices import Devices, DeviceUnavailable
from service.runtime.session import Session
from service.settings import InvalidSettings, Settings
from tests.service.fake_model import FakeSession, fake_manifest


def write_bundle(folder: Path) -> Path:
    folder.mkdir()
    write_manifest(fake_manifest("ner"), folder)
    return folder


def test_every_folder_with_a_manifest_is_a_bundle(tmp_path: Path) -> None:
    second, first = write_bundle(tmp_path / "second"), write_bundle(tmp_path / "first")
    (tmp_path / "notes").mkdir()
    assert find_bundles(tmp_path) == [first, second]


def test_a_folder_that_is_a_bundle_is_taken_itself(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "one")
    assert find_bundles(folder) == [folder]


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
        def __init__(self, name: str, memory: object, **options: object) -> None:
            self.name = name
            asked.append((name, options))

        def open(self, bundle: Bundle) -> dict[int, Session]:
            sessions = {bucket.length: FakeSession() for bucket in bundle.manifest.buckets}
            for session in sessions.values():
                session.device = self.name  # type: ignore[attr-defined]
            return sessions

    monkeypatch.setattr("service.loading.CudaDevice", Device)
    monkeypatch.setattr("service.loading.gpu_memory", lambda name: None)
    monkeypatch.setattr("service.loading.open_bundle", lambda folder: Bundle(folder, fake_manifest("classify")))
    monkeypatch.setattr("service.loading.Tokenizer.from_bundle", lambda bundle: None)
    monkeypatch.setattr("service.loading.create_task", lambda manifest, tokenizer: None)
    return asked


TWO_GPUS = Devices(("cuda:0", "cuda:2"), None, ("A", "B"))


def test_every_device_has_every_bucket_of_every_model_in_the_devices_order(
    tmp_path: Path, two_gpus: list[tuple[str, dict[str, object]]]
) -> None:
    for name in ("first", "second"):
        write_bundle(tmp_path / name)
    models = load_models(Settings(models=tmp_path, max_batch_items=8, cuda_graphs=False), TWO_GPUS)
    assert list(models) == ["first", "second"]
    for model in models.values():
        assert model.devices == TWO_GPUS
        assert model.weights_bytes == 1
        for sessions in model.sessions.values():
            assert [session.device for session in sessions] == ["cuda:0", "cuda:2"]  # type: ignore[attr-defined]
        for bucket in model.buckets():
            own = [bucket.on(number).session for number in (0, 1)]
            assert [session.device for session in own] == ["cuda:0", "cuda:2"]  # type: ignore[attr-defined]
    # One for each device, whatever the number of models: their sessions share its memory.
    assert [name for name, _ in two_gpus] == ["cuda:0", "cuda:2"]
    assert two_gpus[0][1] == {"memory_limit_bytes": 0, "graphs": False, "max_items": 8, "max_tokens": 16_384}


def test_a_limit_on_a_gpus_memory_counts_the_weights_of_all_models(
    tmp_path: Path, two_gpus: list[tuple[str, dict[str, object]]]
) -> None:
    for name in ("first", "second"):
        write_bundle(tmp_path / name)
    load_models(Settings(models=tmp_path, gpu_memory_limit_bytes=100), TWO_GPUS)
    assert {options["memory_limit_bytes"] for _, options in two_gpus} == {98}
    with pytest.raises(InvalidSettings, match="BIGBIRD_GPU_MEMORY_LIMIT_BYTES: the weights of all models take 2 bytes"):
        load_models(Settings(models=tmp_path, gpu_memory_limit_bytes=2), TWO_GPUS)


def test_a_device_that_cannot_be_used_stops_the_start_by_the_settings_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(asked: str, probe: object) -> Devices:
        raise DeviceUnavailable(f"{asked} is not there")

    monkeypatch.setattr("service.loading.choose", refuse)
    with pytest.raises(InvalidSettings, match="BIGBIRD_DEVICE: cuda:7 is not there"):
        choose_devices(Settings(device="cuda:7"))
