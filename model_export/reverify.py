"""Check a finished bundle against its checkpoint again: on another machine, with another version, a year later."""

import math
from dataclasses import replace
from pathlib import Path

from bigbird_inference.bundle import open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import Bucket, Parity
from bigbird_inference.progress import track
from model_export.checkpoints.checkpoint import CheckpointOptions
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.graph_check import GraphCheck, graph_opener, rounded_model
from model_export.export.references import References
from model_export.export.signature import signature
from model_export.export.trace import traced_model
from model_export.patterns.registry import get_pattern


def verify_bundle(folder: Path, checkpoint_folder: Path, tokenizer: str | None = None) -> list[Bucket]:
    """Compare every bucket of a bundle with torch, with the weights of the checkpoint that it was made from.

    Task, pattern, lengths, tolerances and what was said about the checkpoint are those that the manifest records.

    Args:
        folder: The bundle.
        checkpoint_folder: The checkpoint.
        tokenizer: Where its tokenizer is, if the bundle was exported with another one than that of its folder.

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
    said = CheckpointOptions(
        task=manifest.task,
        ignore_weights=tuple(manifest.source.ignore_weights),
        base=manifest.source.base,
        labels=tuple(manifest.labels) or None,
        tokenizer=tokenizer,
        positions=manifest.source.positions,
    )
    checkpoint = read_checkpoint(checkpoint_folder, said)
    found, recorded = checkpoint.sha256(), manifest.source.sha256
    if found != recorded:
        raise ExportError(
            f"{checkpoint_folder}: is not the checkpoint of this bundle: its hash is {found[:12]}, "
            f"the manifest says {recorded[:12]}"
        )
    model = checkpoint.load(get_pattern(manifest.pattern)).model
    shape = signature(manifest.task, model.config)
    rounded = rounded_model(model, manifest.precision)
    references = References.of_model(model, shape), None if rounded is None else References.of_model(rounded, shape)
    plans = [BucketPlan(bucket.length, bucket.attention) for bucket in manifest.buckets]
    # What is allowed was decided at export, bucket by bucket.
    check = GraphCheck(*references, plans, manifest.precision, graph_opener(manifest), tolerance=math.inf)
    measured: dict[int, list[Parity]] = {bucket.length: [] for bucket in manifest.buckets}
    for graph in manifest.graphs:
        traced = traced_model(model, manifest.precision, graph.attention_kernel)
        try:
            loaded = check.load(bundle.path(graph.file), traced, graph.attention_kernel)
        except BundleError as error:
            raise ExportError(f"{graph.file}: {error}") from error
        buckets = [bucket for bucket in manifest.buckets if bucket.attention == graph.attention]
        for bucket in track(buckets, len(buckets), lambda bucket: f"bucket {bucket.length}"):
            measured[bucket.length].append(_within(bucket, loaded.compare(bucket.length)))
    return [replace(bucket, parity=measured[bucket.length]) for bucket in manifest.buckets]


def _within(bucket: Bucket, measured: Parity) -> Parity:
    """Return what was measured, with the tolerance that was recorded.

    Raises:
        ExportError: It is more than that.
    """
    recorded = next(parity for parity in bucket.parity if parity.attention_kernel == measured.attention_kernel)
    if measured.max_abs_difference > recorded.tolerance:
        raise ExportError(
            f"bucket {bucket.length}: outputs differ from torch by {measured.max_abs_difference:.3g}, more than "
            f"{recorded.tolerance:.3g}"
        )
    return replace(measured, tolerance=recorded.tolerance)
