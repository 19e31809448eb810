"""The GPUs in use: memory and utilisation, as NVIDIA's management library (NVML) reports them, and their features.

The families are always there. They have samples only where the service uses GPUs and NVML answers: nothing here may
disturb a service without them, so every failure of NVML means no sample.
"""

import logging
from collections.abc import Callable, Iterable
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily, Metric

from bigbird_inference.runtime.cuda.features import STATES, RungOutcome
from bigbird_inference.runtime.cuda.nvml import cuda_devices, open_nvml

logger = logging.getLogger(__name__)

_PREFIX = "cuda:"


class GpuMetrics:
    """A collector of the watched GPUs.

    Args:
        registry: Where it is registered.
        load: Returns the module `pynvml`, initialised; raises if there is none.
    """

    def __init__(self, registry: CollectorRegistry, load: Callable[[], Any] = open_nvml) -> None:
        self._load = load
        self._nvml: Any = None
        self._handles: dict[str, Any] = {}
        registry.register(self)

    def watch(self, device: str) -> None:
        """Report on a device, if it is a GPU that NVML knows."""
        if not device.startswith(_PREFIX):
            return
        try:
            self._nvml = self._nvml or self._load()
            self._handles[device] = cuda_devices(self._nvml)[int(device.removeprefix(_PREFIX))]
        except Exception as error:  # whatever NVML, its library or a fake of it may raise
            logger.warning("no memory and utilisation of %s: %s", device, error)

    def describe(self) -> Iterable[Metric]:
        """Return the families without samples."""
        return _families().values()

    def collect(self) -> Iterable[Metric]:
        """Return the families with what NVML says now."""
        families = _families()
        for device, handle in self._handles.items():
            for name, value in _readings(self._nvml, handle):
                families[name].add_metric([device], value)
        return families.values()


FeatureState = tuple[str, str, RungOutcome]
"""A model, one of its devices, and what became of a rung there."""


class GpuFeatureMetrics:
    """A collector of what became of the rungs of each model on each GPU (docs/running.md).

    Args:
        registry: Where it is registered.
    """

    def __init__(self, registry: CollectorRegistry) -> None:
        self._read: Callable[[], Iterable[FeatureState]] = lambda: ()
        registry.register(self)

    def watch(self, read: Callable[[], Iterable[FeatureState]]) -> None:
        """Read the states whenever the metrics are collected."""
        self._read = read

    def describe(self) -> Iterable[Metric]:
        """Return the family without samples."""
        return [_feature_family()]

    def collect(self) -> Iterable[Metric]:
        """Return the states as they are now."""
        family = _feature_family()
        for model, device, outcome in self._read():
            for state in STATES:
                family.add_metric([model, device, outcome.rung, state], float(state == outcome.state))
        return [family]


def _feature_family() -> GaugeMetricFamily:
    return GaugeMetricFamily(
        "bigbird_gpu_feature",
        "1 for the state that a feature is in, of a model on a GPU.",
        labels=["model", "device", "feature", "state"],
    )


def _families() -> dict[str, GaugeMetricFamily]:
    return {
        name: GaugeMetricFamily(name, meaning, labels=["device"])
        for name, meaning in (
            ("bigbird_gpu_memory_used_bytes", "Memory in use on the GPU, by all processes."),
            ("bigbird_gpu_memory_total_bytes", "Memory of the GPU."),
            ("bigbird_gpu_utilization_ratio", "Share of NVML's last sample period in which the GPU ran anything."),
        )
    }


def _readings(nvml: Any, handle: Any) -> Iterable[tuple[str, float]]:
    readings: list[tuple[str, float]] = []
    try:
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        readings += [("bigbird_gpu_memory_used_bytes", memory.used), ("bigbird_gpu_memory_total_bytes", memory.total)]
        # Parts of a GPU (MIG) have memory of their own, but no utilisation.
        readings.append(("bigbird_gpu_utilization_ratio", nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100))
    except Exception:  # a GPU that fell off the bus, a driver that was replaced
        logger.debug("NVML did not answer", exc_info=True)
    return readings
