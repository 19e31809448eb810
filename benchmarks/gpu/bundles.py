"""Our bundles of the model that the GPU benchmark measures: exported once, by `--prepare` or by the first run."""

from pathlib import Path

from benchmarks.base_checkpoint import CHECKPOINT_SOURCES, ROOT
from benchmarks.cache import cached
from benchmarks.gpu.plan import Plan
from benchmarks.worker import Worker
from bigbird_inference.manifest import Precision
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions


def measured_bundle(plan: Plan) -> Path:
    """Return the folder of the bundle whose speed is measured."""
    return _bundle(plan, plan.precision, plan.buckets)


def fp32_bundle(plan: Plan) -> Path:
    """Return the folder of the bundle with the same fused attention in fp32; its numbers can be compared closely."""
    return _bundle(plan, "fp32", plan.fp32_buckets)


def _bundle(plan: Plan, precision: Precision, buckets: tuple[int, ...]) -> Path:
    name = f"gpu-{plan.name}-{precision}-{'-'.join(str(length) for length in buckets)}"
    sources = [*CHECKPOINT_SOURCES, Path(__file__), *sorted((ROOT / "model_export").rglob("*.py"))]

    def export(folder: Path) -> None:
        # In a process of its own, which takes the gigabytes of an export with it.
        with Worker(f"exporting {name}", _export, plan.checkpoint(), folder, precision, buckets) as worker:
            worker.wait_until_made()

    return cached(name, sources, export)


def _export(checkpoint: Path, folder: Path, precision: Precision, buckets: tuple[int, ...]) -> None:
    options = ExportOptions(buckets=buckets, precision=precision, attention="fused")
    export_checkpoint(checkpoint, folder, options, name="base")
