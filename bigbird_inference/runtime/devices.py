"""Which devices serve: asked for by a setting, found on the machine, and if they cannot be used, why.

    auto               every GPU that works, otherwise the CPU; `degraded` if a GPU was to be expected
    cpu
    cuda               every visible GPU
    cuda:0  cuda:1,3   those

Whoever asks for a GPU by name gets it, or one sentence at start-up that says what is missing. Nothing here imports
onnxruntime or touches a GPU; `bigbird_inference.runtime.cuda.probe` does.

Which distributions of onnxruntime are installed; more than one is none that works. `onnxruntime` and `onnxruntime-gpu`
unpack into the same folder, so pip installs the second over the first without a word. What is imported then is a
mixture: the GPU may be missing although it was asked for, and removing one of the two breaks the other.
"""

import logging
import re
from dataclasses import dataclass
from importlib import metadata
from typing import Protocol

logger = logging.getLogger(__name__)


_DISTRIBUTIONS = (
    "onnxruntime",
    "onnxruntime-gpu",
    "onnxruntime-directml",
    "onnxruntime-migraphx",
    "onnxruntime-openvino",
    "onnxruntime-qnn",
    "onnxruntime-rocm",
    "onnxruntime-training",
)


def conflicting_runtimes() -> str | None:
    """Return what to tell the person who starts the service, or None if nothing is in another's way."""
    installed = [name for name in _DISTRIBUTIONS if _is_installed(name)]
    if len(installed) < 2:
        return None
    names = " and ".join(installed)
    return (
        f"{names} are installed together and overwrite each other: run `pip uninstall --yes {' '.join(installed)}`, "
        "then install exactly one, with the extra `cpu` or the extra `gpu`"
    )


def _is_installed(distribution: str) -> bool:
    try:
        metadata.distribution(distribution)
    except metadata.PackageNotFoundError:
        return False
    return True


CPU = "cpu"
DEVICE_PATTERN = r"^(auto|cpu|cuda(:[0-9]+(,[0-9]+)*)?)$"


class DeviceUnavailable(Exception):
    """What was asked for cannot run here; the message says why, and what would help."""


@dataclass(frozen=True, slots=True)
class Devices:
    """The devices that serve.

    Attributes:
        names: `cpu`, or `cuda:0` and so on, at least one; each holds a copy of every model.
        degraded: Why the CPU serves although a GPU was to be expected, or None.
        descriptions: What each of them is, for people: the product's name.
    """

    names: tuple[str, ...] = (CPU,)
    degraded: str | None = None
    descriptions: tuple[str, ...] = ("",)

    @property
    def on_gpu(self) -> bool:
        """Whether GPUs serve."""
        return self.names[0].startswith("cuda")


class DeviceProbe(Protocol):
    """Looks at the machine, one question at a time."""

    def conflict(self) -> str | None:
        """Return why the installed distributions of onnxruntime cannot be relied on, or None."""
        ...

    def gpu_expected(self) -> bool:
        """Tell whether the system shows an NVIDIA device or its driver, or onnxruntime was built for them."""
        ...

    def count_gpus(self) -> int:
        """Return how many GPUs CUDA shows to this process.

        Raises:
            DeviceUnavailable: onnxruntime was built without CUDA, or the driver is missing or too old.
        """
        ...

    def failure_on(self, gpu: int) -> str | None:
        """Run a graph of one operator on a GPU; return what went wrong, or None."""
        ...

    def describe(self, name: str) -> str:
        """Return what a device is, for people."""
        ...


def choose(asked: str, probe: DeviceProbe) -> Devices:
    """Return the devices to serve on.

    Args:
        asked: See the module.
        probe: Looks at the machine.

    Raises:
        DeviceUnavailable: What was asked for by name cannot be used.
        ValueError: This is not a device.
    """
    if not re.match(DEVICE_PATTERN, asked):
        raise ValueError(f"device must be auto, cpu, cuda, or cuda:N,M,..., not {asked!r}")
    if asked == "auto":
        return _choose_freely(probe)
    if (conflict := probe.conflict()) is not None:
        raise DeviceUnavailable(conflict)
    names = (CPU,) if asked == CPU else tuple(f"cuda:{gpu}" for gpu in _usable_gpus(_numbers(asked), probe))
    return _described(names, None, probe)


def _choose_freely(probe: DeviceProbe) -> Devices:
    try:
        if (conflict := probe.conflict()) is not None:
            raise DeviceUnavailable(conflict)
        if not probe.gpu_expected():
            return _described((CPU,), None, probe)
        gpus = _usable_gpus(None, probe)
    except DeviceUnavailable as reason:
        logger.warning("degraded, the CPU serves: %s", reason)
        return _described((CPU,), str(reason), probe)
    return _described(tuple(f"cuda:{gpu}" for gpu in gpus), None, probe)


def _described(names: tuple[str, ...], degraded: str | None, probe: DeviceProbe) -> Devices:
    return Devices(names, degraded, tuple(probe.describe(name) for name in names))


def _numbers(asked: str) -> list[int] | None:
    """Return the GPUs that were asked for by number, each once, or None for all of them."""
    _, named, numbers = asked.partition(":")
    return list(dict.fromkeys(int(number) for number in numbers.split(","))) if named else None


def _usable_gpus(asked: list[int] | None, probe: DeviceProbe) -> list[int]:
    """Return the GPUs to use: those asked for, or all.

    Raises:
        DeviceUnavailable: One of them cannot be used.
    """
    count = probe.count_gpus()
    if not count:
        raise DeviceUnavailable("the driver shows no GPU (a container needs `--gpus all`; see CUDA_VISIBLE_DEVICES)")
    gpus = list(range(count)) if asked is None else asked
    if strangers := [gpu for gpu in gpus if gpu >= count]:
        there = "only cuda:0" if count == 1 else f"cuda:0 to cuda:{count - 1}"
        missing = ", ".join(f"cuda:{gpu}" for gpu in strangers)
        raise DeviceUnavailable(f"there is no {missing}: this machine has {there}")
    for gpu in gpus:
        if (failure := probe.failure_on(gpu)) is not None:
            raise DeviceUnavailable(f"onnxruntime cannot run on cuda:{gpu}: {failure}")
    return gpus
