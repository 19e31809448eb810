"""Whether our numbers on the device are right, before anything is timed.

The same comparison as at export, by the same code: a bucket's session gets documents of several lengths, short ones
among them; the reference is torch in fp32 on each document alone, padded to whole blocks only. The tolerance is the
one of the bundle's precision, and is recorded in its manifest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.gpu.peers import torch_model
from benchmarks.gpu.plan import Plan
from benchmarks.gpu.sessions import open_buckets
from benchmarks.limited_worker import LimitedWorker
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import Parity
from bigbird_inference.runtime.graph_sessions import served_kernel
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.references import References
from model_export.export.signature import signature
from model_export.export.verify import Verifier


class WrongNumbers(Exception):
    """The device computes something else than torch does; no time of it means anything."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A bucket whose numbers were compared."""

    precision: str
    length: int
    parity: Parity


def check_numbers(plan: Plan, bundle: Path, checkpoint: Path, lengths: Sequence[int]) -> list[Checked]:
    """Compare buckets of a bundle with torch.

    Raises:
        WrongNumbers: One differs by more than its tolerance, or is not finite.
        WorkerFailed: They could not be run.
    """
    precision = read_manifest(bundle).precision
    with LimitedWorker("numbers", plan.answer_seconds, _Numbers, bundle, checkpoint, plan.device) as worker:
        worker.wait_until_made()
        checked = []
        for length in lengths:
            found = worker.call("compare", length)
            if isinstance(found, str):
                raise WrongNumbers(f"{precision} on {plan.device}: {found}")
            checked.append(Checked(precision, length, found))
    return checked


class _Numbers:
    """Sessions and reference, in their process."""

    def __init__(self, bundle: Path, checkpoint: Path, device: str) -> None:
        manifest = read_manifest(bundle)
        model = torch_model(checkpoint)
        plans = [BucketPlan(bucket.length, bucket.attention) for bucket in manifest.buckets]
        references = References.of_model(model, signature(manifest.task, model.config))
        self._verifier = Verifier(references, plans, precision=manifest.precision)
        self._kernel = served_kernel(manifest, "fused")
        self._sessions = open_buckets(bundle, device)

    def compare(self, length: int) -> Parity | str:
        """Return how far a bucket is from torch, or what is wrong with it."""
        try:
            return self._verifier.compare(length, self._sessions[length], self._kernel)
        except ExportError as error:
            return str(error)
