"""The CPU as a device: which runtime runs a bundle there, and in which precision.

What is asked for by name is done, or it is said why not. Left to choose, the fastest is taken of what is installed,
what the processor has units for, and what the bundle's manifest has figures for (`Manifest.cpu_runs`):

    1. OpenVINO in bfloat16, if the processor computes in bfloat16 (AMX, AVX-512 BF16)
    2. of an int8 bundle whose graphs for OpenVINO have fixed ranges: OpenVINO in float32, but for products in 8 bits
    3. onnxruntime

Bundles that OpenVINO does not run (`unfit_for_openvino`) take onnxruntime.

In float32, OpenVINO is no faster than onnxruntime and takes more memory; nor are its int8 graphs without fixed ranges
faster than onnxruntime's then. A processor without units for bfloat16 would emulate it, slower than float32.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Literal

from bigbird_inference.bundle import Bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.extras import install_command
from bigbird_inference.manifest import MANIFEST_FILE, CpuPrecision, CpuRuntime, KnownRun, Manifest
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.devices import CPU, DeviceUnavailable
from bigbird_inference.runtime.graph_sessions import OpenedGraphs, SessionOpener, open_sessions
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.openvino_session import WHOLE_LENGTHS, computes_bfloat16, open_openvino_session

logger = logging.getLogger(__name__)

RuntimeChoice = Literal["auto", CpuRuntime]
PrecisionChoice = Literal["auto", CpuPrecision]

_RUN_IN_OPENVINO = ("fp32", "int8")
# Of a known answer that was not measured for it, in standard deviations of the outputs: that of bf16 bundles.
_BFLOAT16_TOLERANCE = 0.5


@dataclass(frozen=True, slots=True)
class CpuChoice:
    """What was asked for.

    Attributes:
        runtime: `auto` for the fastest that is measured.
        precision: What float32 is computed in; `auto` likewise.
    """

    runtime: RuntimeChoice = "auto"
    precision: PrecisionChoice = "auto"


class CpuDevice:
    """The cores of this machine.

    Args:
        threads: Threads of a run.
        choice: What was asked for.
        has_openvino: Tells whether OpenVINO is installed.
        has_bfloat16: Tells whether the processor computes in bfloat16; asked only where OpenVINO is installed.

    Raises:
        DeviceUnavailable: It cannot be done on this machine.
    """

    def __init__(
        self,
        threads: int,
        choice: CpuChoice | None = None,
        *,
        has_openvino: Callable[[], bool] = quiet_openvino.installed,
        has_bfloat16: Callable[[], bool] = computes_bfloat16,
    ) -> None:
        self._threads = threads
        self._choice = choice or CpuChoice()
        self._has_openvino = has_openvino()
        self._has_bfloat16 = has_bfloat16
        self._check_choice()

    def _check_choice(self) -> None:
        if self._choice.runtime == "onnxruntime" and self._choice.precision == "bf16":
            raise DeviceUnavailable("onnxruntime computes in fp32 on a CPU; bf16 takes the runtime openvino")
        asked = self._choice.runtime == "openvino" or self._choice.precision == "bf16"
        if asked and not self._has_openvino:
            raise DeviceUnavailable(f"OpenVINO is not installed; run {install_command('openvino')}")

    def open(self, bundle: Bundle) -> OpenedGraphs:
        """Load the graphs of a bundle, as `chosen` says.

        Raises:
            BundleError: A graph cannot be loaded, does not fit the manifest, or cannot be run as was asked for.
        """
        try:
            runtime, precision = self.chosen(bundle.manifest)
        except BundleError as error:
            raise BundleError(f"{bundle.path(MANIFEST_FILE)}: {error}") from error
        manifest = as_run_by(bundle.manifest, runtime, precision)
        opener: SessionOpener = partial(open_session, device=CPU, threads=self._threads)
        if runtime == "openvino":
            opener = partial(open_openvino_session, precision=precision, threads=self._threads)
        opened = open_sessions(replace(bundle, manifest=manifest), opener)
        return opened._replace(runtime=runtime, computes_in=precision)

    def chosen(self, manifest: Manifest) -> tuple[CpuRuntime, CpuPrecision]:
        """Return the runtime and the precision in which a bundle is run; see the module.

        Raises:
            BundleError: What was asked for by name does not run it.
        """
        asked, precision = self._choice.runtime, self._choice.precision
        named = asked == "openvino" or precision == "bf16"
        unfit = unfit_for_openvino(manifest)
        if unfit is not None and named:
            raise BundleError(f"OpenVINO was asked for, and {unfit}")
        if unfit is not None or asked == "onnxruntime" or not self._has_openvino:
            return "onnxruntime", "fp32"
        measured = {run.precision: run for run in manifest.cpu_runs if run.runtime == "openvino"}
        if precision == "auto":
            precision = "bf16" if "bf16" in measured and self._has_bfloat16() else "fp32"
        if named and manifest.precision == "int8" and precision not in measured:
            raise BundleError(
                f"OpenVINO was asked for, and its int8 graphs were not measured in {precision}; export the checkpoint "
                "again"
            )
        faster = precision in measured and (precision == "bf16" or measured[precision].calibrated_on > 0)
        return ("openvino", precision) if named or faster else ("onnxruntime", "fp32")


def unfit_for_openvino(manifest: Manifest) -> str | None:
    """Return why OpenVINO does not run a bundle, and what to do, or None if it does."""
    if manifest.precision not in _RUN_IN_OPENVINO:
        return (
            f"a bundle in {manifest.precision} is for GPUs, and OpenVINO runs those in "
            f"{' and '.join(_RUN_IN_OPENVINO)}; export it with --precision fp32"
        )
    if manifest.precision == "int8" and not any(run.graphs for run in manifest.cpu_runs):
        return (
            "the int8 bundle has no graphs for it; export the checkpoint again where NNCF is installed "
            f"({install_command('nncf')})"
        )
    if "composed" not in manifest.kernels:
        return "it runs graphs of standard operators only; export the checkpoint with --attention composed"
    odd = [bucket.length for bucket in manifest.buckets if bucket.length % WHOLE_LENGTHS]
    if odd:
        return (
            f"it gives a document the same numbers only in buckets of whole {WHOLE_LENGTHS} tokens, of which "
            f"{odd[0]} is none; run it in onnxruntime"
        )
    return None


def as_run_by(manifest: Manifest, runtime: CpuRuntime, precision: CpuPrecision) -> Manifest:
    """Return the manifest as it holds for a runtime.

    Args:
        manifest: Of the bundle.
        runtime: The runtime.
        precision: What it computes in. Where nothing was measured of it, the known answer's tolerance is that of bf16.
    """
    if runtime == "onnxruntime":
        return manifest
    for run in manifest.cpu_runs:
        if (run.runtime, run.precision) == (runtime, precision):
            return manifest.as_run_by(run)
    known = manifest.known_answer
    if known is None or precision == "fp32":
        return manifest
    spread = manifest.buckets[0].parity[0].logits_std
    return replace(manifest, known_answer=replace(known, runs=[_wider(run, spread) for run in known.runs]))


def _wider(run: KnownRun, spread: float) -> KnownRun:
    return replace(run, tolerance=max(run.tolerance, _BFLOAT16_TOLERANCE * spread))
