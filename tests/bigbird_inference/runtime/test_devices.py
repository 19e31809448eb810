"""Which device is chosen for what is asked for, and what stops the start."""

from pathlib import Path

import pytest

from bigbird_inference.runtime.devices import Devices, DeviceUnavailable, choose, conflicting_runtimes


class FakeProbe:
    """A machine with two GPUs on which everything works, but for what a test changes."""

    def __init__(self, **changes: object) -> None:
        self.answers: dict[str, object] = {
            "conflict": None,
            "gpu_expected": True,
            "count_gpus": 2,
            "failure_on": {},
            **changes,
        }
        self.asked: list[str] = []

    def _answer(self, question: str):
        self.asked.append(question)
        answer = self.answers[question]
        if isinstance(answer, Exception):
            raise answer
        return answer

    def conflict(self):
        return self._answer("conflict")

    def gpu_expected(self):
        return self._answer("gpu_expected")

    def count_gpus(self):
        return self._answer("count_gpus")

    def failure_on(self, gpu: int):
        return self._answer("failure_on").get(gpu)

    def describe(self, name: str) -> str:
        return f"the {name} of a test"


@pytest.mark.parametrize(
    ("asked", "names"),
    [
        pytest.param("auto", ("cuda:0", "cuda:1"), id="whatever there is"),
        pytest.param("cuda", ("cuda:0", "cuda:1"), id="every GPU"),
        pytest.param("cuda:1", ("cuda:1",), id="one GPU"),
        pytest.param("cuda:1,0", ("cuda:1", "cuda:0"), id="GPUs in an order"),
        pytest.param("cuda:1,1", ("cuda:1",), id="a GPU twice"),
        pytest.param("cpu", ("cpu",), id="the CPU although there are GPUs"),
    ],
)
def test_what_is_asked_for_is_chosen_and_described(asked: str, names: tuple[str, ...]) -> None:
    devices = choose(asked, FakeProbe())
    assert devices == Devices(names, None, tuple(f"the {name} of a test" for name in names))
    assert devices.on_gpu == (asked != "cpu")


@pytest.mark.parametrize("asked", ["gpu", "cuda:", "cuda:a", "cuda:0,", "cpu:0", ""])
def test_anything_else_is_no_device(asked: str) -> None:
    with pytest.raises(ValueError, match="device must be"):
        choose(asked, FakeProbe())


FAULTS = [
    pytest.param({"conflict": "two are installed over each other"}, "installed over each other", id="two runtimes"),
    pytest.param(
        {"count_gpus": DeviceUnavailable("the NVIDIA driver 535.1 is too old for CUDA 13.0")},
        "driver 535.1 is too old",
        id="the driver is too old",
    ),
    pytest.param({"count_gpus": 0}, "the driver shows no GPU", id="no GPU is visible"),
    pytest.param(
        {"failure_on": {1: "CUDA failure 2: out of memory"}},
        "onnxruntime cannot run on cuda:1: CUDA failure 2: out of memory",
        id="a trial fails on one of the GPUs",
    ),
]


@pytest.mark.parametrize(("changes", "reason"), FAULTS)
def test_a_gpu_that_was_asked_for_and_cannot_be_used_stops_the_start_with_the_reason(
    changes: dict[str, object], reason: str
) -> None:
    with pytest.raises(DeviceUnavailable, match=reason):
        choose("cuda", FakeProbe(**changes))


@pytest.mark.parametrize(("changes", "reason"), FAULTS)
def test_left_to_itself_it_serves_on_the_cpu_and_says_that_this_is_not_what_was_expected(
    changes: dict[str, object], reason: str
) -> None:
    devices = choose("auto", FakeProbe(**changes))
    assert devices.names == ("cpu",)
    assert devices.degraded is not None
    assert reason in devices.degraded


def test_a_machine_for_the_cpu_is_not_degraded() -> None:
    probe = FakeProbe(gpu_expected=False)
    assert choose("auto", probe).degraded is None
    assert "count_gpus" not in probe.asked


def test_a_runtime_for_gpus_without_any_gpu_is_degraded() -> None:
    assert choose("auto", FakeProbe(count_gpus=0)).degraded is not None


def test_a_number_that_no_gpu_has_is_named() -> None:
    with pytest.raises(DeviceUnavailable, match=r"there is no cuda:2, cuda:5: this machine has cuda:0 to cuda:1"):
        choose("cuda:0,2,5", FakeProbe())
    with pytest.raises(DeviceUnavailable, match=r"there is no cuda:1: this machine has only cuda:0"):
        choose("cuda:1", FakeProbe(count_gpus=1))


def test_only_the_gpus_that_are_asked_for_are_tried() -> None:
    probe = FakeProbe(failure_on={1: "it is broken"})
    assert choose("cuda:0", probe).names == ("cuda:0",)


def test_the_cpu_asks_nothing_of_cuda_but_refuses_a_broken_installation() -> None:
    probe = FakeProbe()
    choose("cpu", probe)
    assert probe.asked == ["conflict"]
    with pytest.raises(DeviceUnavailable, match="over each other"):
        choose("cpu", FakeProbe(conflict="two are installed over each other"))


def install(site_packages: Path, name: str) -> None:
    """Leave what pip leaves of a distribution: its metadata."""
    folder = site_packages / f"{name.replace('-', '_')}-1.31.1.dist-info"
    folder.mkdir(parents=True)
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {name}\nVersion: 1.31.1\n", encoding="utf-8")


@pytest.fixture
def site_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    return tmp_path


@pytest.mark.parametrize("name", ["onnxruntime", "onnxruntime-gpu"])
def test_one_distribution_is_fine(site_packages: Path, name: str) -> None:
    install(site_packages, name)
    assert conflicting_runtimes() is None


def test_no_distribution_under_a_known_name_is_no_conflict(site_packages: Path) -> None:
    assert conflicting_runtimes() is None


def test_two_distributions_are_both_named_and_the_way_out_is_told(site_packages: Path) -> None:
    install(site_packages, "onnxruntime-gpu")
    install(site_packages, "onnxruntime")
    assert conflicting_runtimes() == (
        "onnxruntime and onnxruntime-gpu are installed together and overwrite each other: run "
        "`pip uninstall --yes onnxruntime onnxruntime-gpu`, then install exactly one, with the extra `cpu` or the "
        "extra `gpu`"
    )
