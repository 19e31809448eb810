"""Check a finished bundle against its checkpoint again: on another machine, with another version, a year later."""

from dataclasses import replace
from pathlib import Path

from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError
from model_export.export.bucket_check import bucket_check
from model_export.export.buckets import BucketPlan
from model_export.export.signature import signature
from model_export.export.traced_model import traced_model
from model_export.patterns.registry import get_pattern
from model_export.pipeline import graph_opener
from model_export.progress import track
from service.bundle import Bucket, open_bundle
from service.errors import BundleError


def verify_bundle(folder: Path, checkpoint_folder: Path) -> list[Bucket]:
    """Compare every bucket of a bundle with torch, with the weights of the checkpoint that it was made from.

    Task, pattern, lengths and tolerances are those that the manifest records.

    Args:
        folder: The bundle.
        checkpoint_folder: The checkpoint.

    Returns:
        The manifest's buckets, with the parity measured now.

    Raises:
        ExportError: The checkpoint is another one or cannot be read, or a bucket differs by more than its tolerance.
    """
    try:
        bundle = open_bundle(folder)
    except BundleError as error:
        raise ExportError(str(error)) from error
    manifest = bundle.manifest
    checkpoint = read_checkpoint(checkpoint_folder, manifest.task)
    found, recorded = checkpoint.sha256(), manifest.source.sha256
    if found != recorded:
        raise ExportError(
            f"{checkpoint_folder}: is not the checkpoint of this bundle: its hash is {found[:12]}, "
            f"the manifest says {recorded[:12]}"
        )
    model, _ = checkpoint.load_model(get_pattern(manifest.pattern))
    shape = signature(manifest.task, model.config)
    traced = traced_model(model, manifest.precision, manifest.attention_kernel)

    def verified(bucket: Bucket) -> Bucket:
        spread = bucket.parity.logits_std
        tolerance = bucket.parity.tolerance / (max(1.0, spread) if manifest.precision == "fp32" else spread)
        check = bucket_check(model, traced, shape, manifest.precision, graph_opener(manifest), tolerance)
        try:
            measured = check.measure(BucketPlan(bucket.length, bucket.attention), bundle.path(bucket.file))
        except BundleError as error:
            raise ExportError(f"bucket {bucket.length}: {error}") from error
        return replace(bucket, parity=measured.parity)

    return [
        verified(bucket)
        for bucket in track(manifest.buckets, len(manifest.buckets), lambda bucket: f"bucket {bucket.length}")
    ]
