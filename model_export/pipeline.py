"""From a checkpoint to a bundle: the stages of `bigbird export`, one call each.

    checkpoint -> weights -> buckets -> [trace -> share weights -> write -> verify] for each bucket -> manifest

The bundle is built in a hidden folder beside its destination and takes its place when everything is verified
(`export.placement`). Whatever fails, nothing is left behind.
"""

import contextlib
import importlib.metadata
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import onnx_ir as ir

from model_export.checkpoints.checkpoint import Checkpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError
from model_export.export.bucket_check import BucketCheck, OpenGraph, bucket_check
from model_export.export.buckets import BucketPlan, plan_buckets
from model_export.export.known_answer import bucket_to_ask, known_answer
from model_export.export.placement import check_destination, hidden_folder, put_in_place
from model_export.export.quantise import quantise
from model_export.export.shared_weights import SharedWeights, parameter_arrays
from model_export.export.signature import Signature, signature
from model_export.export.tokenizer import write_tokenizer
from model_export.export.torch_session import TorchSession
from model_export.export.trace import OPSET, trace
from model_export.export.traced_model import HALF_TYPES, attention_kernel, traced_model
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from model_export.progress import track
from service.bundle import (
    FORMAT_VERSION,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    AttentionKernelName,
    Bucket,
    HashedFile,
    Manifest,
    ModelConfig,
    Precision,
    Source,
    TaskName,
    TokenizerFile,
    file_sha256,
    write_manifest,
)
from service.errors import BundleError
from service.runtime.cores import available_cores
from service.runtime.devices import DeviceUnavailable
from service.runtime.onnx_session import open_session
from service.runtime.session import Session

PairTypes = Literal["segments", "zeros"]
_RECORDED_PACKAGES = (
    "bigbird-serve",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "sentencepiece",
)


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the person who exports decides; None leaves it to the checkpoint.

    Attributes:
        task: A key of `HEADS`.
        buckets: Padded lengths in tokens.
        pattern: Name of the random-block pattern; None takes that of the checkpoint's world.
        pair_types: Token types of pairs: 0 and 1 for the two segments, or zeros throughout.
        precision: `fp32`, `int8` weights and activations in the encoder, or `fp16` or `bf16` ones for GPUs.
        attention: The attention kernel; None takes the precision's own.
        tolerance: Largest allowed difference between the graphs and torch; None for the precision's own.
    """

    task: str | None = None
    buckets: Sequence[int] | None = None
    pattern: str | None = None
    pair_types: PairTypes = "segments"
    precision: Precision = "fp32"
    attention: AttentionKernelName | None = None
    tolerance: float | None = None


def export_checkpoint(
    folder: Path, output: Path, options: ExportOptions, *, overwrite: bool = False, name: str | None = None
) -> Manifest:
    """Export a checkpoint folder to a bundle folder.

    Args:
        folder: The checkpoint.
        output: The bundle to make; its name becomes the model's name.
        options: The choices.
        overwrite: Replace a bundle that is already there, once the new one is complete.
        name: What the manifest calls the checkpoint; None takes the folder's name.

    Returns:
        The manifest that was written.

    Raises:
        ExportError: Something does not fit; nothing was left behind.
    """
    check_destination(output, overwrite=overwrite)
    checkpoint = read_checkpoint(folder, options.task)
    try:
        with hidden_folder(output) as building:
            manifest = _build(checkpoint, building, options, name or folder.resolve().name)
            put_in_place(building, output, overwrite=overwrite)
    except OSError as error:
        # A full disk or a read-only folder: what was being written has no name in the error.
        raise ExportError(f"{error.filename or output}: {error.strerror or error}") from error
    return manifest


def _build(checkpoint: Checkpoint, building: Path, options: ExportOptions, name: str) -> Manifest:
    plans = plan_buckets(checkpoint.config, options.buckets)
    kernel = attention_kernel(options.precision, options.attention)
    pattern = get_pattern(options.pattern or checkpoint.default_pattern)
    special_ids = write_tokenizer(
        checkpoint.tokenizer,
        checkpoint.files[-1],
        building / TOKENIZER_FILE,
        checkpoint.special_tokens,
        checkpoint.config.vocab_size,
    )
    for assumption in checkpoint.assumptions:
        print(f"assumed: {assumption}", file=sys.stderr)
    model, unused = checkpoint.load_model(pattern)
    if unused:
        print(f"not used by {checkpoint.task}: {', '.join(unused)}", file=sys.stderr)

    traced = traced_model(model, options.precision, kernel)
    weights = SharedWeights(building / WEIGHTS_FILE, parameter_arrays(traced))
    weights.start()
    shape = signature(checkpoint.task, model.config)
    unfinished = Manifest(
        format_version=FORMAT_VERSION,
        task=cast(TaskName, checkpoint.task),
        labels=list(model.config.labels) if checkpoint.task in ("classify", "ner") else [],
        problem_type=model.config.problem_type,
        pattern=pattern.name,
        precision=options.precision,
        attention_kernel=kernel,
        # A model with a single token type knows no second segment.
        pair_types="zeros" if model.config.type_vocab_size == 1 else options.pair_types,
        block_size=model.config.block_size,
        max_length=plans[-1].length,
        max_batch_items=1 if options.precision == "int8" else None,
        tokenizer=TokenizerFile(
            **asdict(_hashed(building / TOKENIZER_FILE)),
            cls_id=special_ids.cls,
            sep_id=special_ids.sep,
            pad_id=model.config.pad_token_id,
            mask_id=special_ids.mask,
            eos_id=model.config.eos_token_id if checkpoint.task == "generate" else None,
        ),
        weights=_hashed(building / WEIGHTS_FILE),
        inputs=shape.inputs,
        outputs=shape.outputs,
        buckets=[],
        source=Source(
            name=name,
            kind=checkpoint.weights.kind,
            sha256=checkpoint.sha256(),
            assumptions=list(checkpoint.assumptions),
        ),
        model=cast(ModelConfig, model.config.to_dict()),
        versions=_versions() | {"opset": str(OPSET)},
    )

    check = bucket_check(model, traced, shape, options.precision, graph_opener(unfinished), options.tolerance)
    stages = _BucketStages(traced, shape, weights, check)

    def describe(plan: BucketPlan) -> str:
        return f"bucket {plan.length} ({plan.attention.replace('_', '-')} attention)"

    buckets = [stages.export(plan, building, options.precision) for plan in track(plans, len(plans), describe)]
    complete = replace(unfinished, weights=_hashed(building / WEIGHTS_FILE), buckets=buckets)
    session = _serving_session(complete, building / bucket_to_ask(buckets).file) or TorchSession(traced, shape)
    answer = known_answer(complete, building / TOKENIZER_FILE, session)
    manifest = replace(complete, known_answer=answer)
    write_manifest(manifest, building)
    return manifest


@dataclass(frozen=True, slots=True)
class _BucketStages:
    """What every bucket's export needs of the model."""

    model: BigBird
    signature: Signature
    weights: SharedWeights
    check: BucketCheck

    def export(self, plan: BucketPlan, building: Path, precision: Precision) -> Bucket:
        """Trace, share weights, write, load in the session that will serve, and compare."""
        graph = trace(self.model, self.signature, plan.length)
        self.weights.give_names(graph)
        if precision == "int8":
            quantise(graph)
        self.weights.take_from(graph)
        path = building / f"graph-{plan.length}.onnx"
        ir.save(graph, path)
        try:
            measured = self.check.measure(plan, path)
        except BundleError as error:
            raise ExportError(f"bucket {plan.length}: {error}") from error
        return Bucket(
            length=plan.length,
            attention=plan.attention,
            file=path.name,
            bytes=path.stat().st_size,
            sha256=file_sha256(path),
            parity=measured.parity,
            peak_memory_bytes=measured.peak_memory_bytes,
        )


def graph_opener(manifest: Manifest) -> OpenGraph:
    """Return what loads the graphs of a bundle with the session that will serve them."""

    def open_graph(graph: Path, device: Literal["cpu", "cuda"]) -> Session | None:
        try:
            return open_session(graph, manifest, device=device, threads=available_cores())
        except DeviceUnavailable:
            if device == "cpu":
                raise
            return None

    return open_graph


def _serving_session(manifest: Manifest, graph: Path) -> Session | None:
    """Return the session that will serve a graph, or None for half precision on a machine without a GPU."""
    return graph_opener(manifest)(graph, "cuda" if manifest.precision in HALF_TYPES else "cpu")


def _hashed(path: Path) -> HashedFile:
    return HashedFile(file=path.name, bytes=path.stat().st_size, sha256=file_sha256(path))


def _versions() -> dict[str, str]:
    """Return the versions of the installed ones; onnxruntime goes by one of two names."""
    versions = {}
    for name in _RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
