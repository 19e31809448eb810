"""From a checkpoint to a bundle: the stages of `bigbird export`, one call each.

    checkpoint -> weights -> buckets -> [trace -> share weights -> write -> verify] for each bucket -> manifest

The bundle is built in a hidden folder beside its destination and renamed when everything is verified. Whatever
fails, nothing is left behind.
"""

import importlib.metadata
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Literal, cast

import onnx_ir as ir

from model_export.checkpoints.huggingface import Checkpoint, read_checkpoint
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan, plan_buckets
from model_export.export.resident_memory import peak_rise
from model_export.export.shared_weights import SharedWeights
from model_export.export.tokenizer import SpecialIds, write_tokenizer
from model_export.export.trace import BATCH_AXIS, INPUT_NAMES, OPSET, OUTPUT_NAME, trace
from model_export.export.verify import FP32_TOLERANCE, Verifier, pad_batch, random_document
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from model_export.progress import track
from service.bundle import (
    FORMAT_VERSION,
    MANIFEST_FILE,
    TOKENIZER_FILE,
    WEIGHTS_FILE,
    Bucket,
    HashedFile,
    Manifest,
    ModelConfig,
    Source,
    TaskName,
    Tensor,
    TokenizerFile,
    file_sha256,
    write_manifest,
)
from service.errors import BundleError
from service.runtime.onnx_session import open_session
from service.runtime.session_pool import available_cores

PairTypes = Literal["segments", "zeros"]
_RECORDED_PACKAGES = ("bigbird-serve", "torch", "onnx", "onnxscript", "onnxruntime", "numpy", "sentencepiece")


@dataclass(frozen=True, slots=True)
class ExportOptions:
    """What the person who exports decides; None leaves it to the checkpoint.

    Attributes:
        task: `qa`, `classify` or `ner`.
        buckets: Padded lengths in tokens.
        pattern: Name of the random-block pattern.
        pair_types: Token types of pairs: 0 and 1 for the two segments, or zeros throughout.
        tolerance: Largest allowed difference between the graphs and torch.
    """

    task: str | None = None
    buckets: Sequence[int] | None = None
    pattern: str = "transformers"
    pair_types: PairTypes = "segments"
    tolerance: float = FP32_TOLERANCE


def export_checkpoint(folder: Path, output: Path, options: ExportOptions, *, overwrite: bool = False) -> Manifest:
    """Export a checkpoint folder to a bundle folder.

    Args:
        folder: The checkpoint.
        output: The bundle to make; its name becomes the model's name.
        options: The choices.
        overwrite: Replace a bundle that is already there, once the new one is complete.

    Returns:
        The manifest that was written.

    Raises:
        ExportError: Something does not fit; nothing was left behind.
    """
    if output.exists() and not overwrite:
        raise ExportError(f"{output}: exists already; remove it or give --overwrite")
    if output.exists() and not (output / MANIFEST_FILE).is_file():
        raise ExportError(f"{output}: is not a bundle and is not replaced; remove it or export somewhere else")
    checkpoint = read_checkpoint(folder, options.task)
    output.parent.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    try:
        manifest = _build(checkpoint, building, options)
        _put_in_place(building, output)
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return manifest


def _build(checkpoint: Checkpoint, building: Path, options: ExportOptions) -> Manifest:
    plans = plan_buckets(checkpoint.config, options.buckets)
    pattern = get_pattern(options.pattern)
    special_ids = write_tokenizer(
        checkpoint.tokenizer_file,
        building / TOKENIZER_FILE,
        checkpoint.special_tokens,
        checkpoint.config.vocab_size,
    )
    model, unused = checkpoint.load_model(pattern)
    if unused:
        print(f"not used by {checkpoint.task}: {', '.join(unused)}", file=sys.stderr)

    parameters = {name: tensor.numpy() for name, tensor in model.state_dict().items()}
    weights = SharedWeights(building / WEIGHTS_FILE, parameters)
    weights.start()
    verifier = Verifier(model, has_length_axis=checkpoint.task != "classify", tolerance=options.tolerance)
    unfinished = _manifest_without_graphs(checkpoint, building, options, special_ids, plans[-1].length)

    def describe(plan: BucketPlan) -> str:
        return f"bucket {plan.length} ({plan.attention.replace('_', '-')} attention)"

    buckets = [
        _export_bucket(model, plan, building, weights, verifier, unfinished)
        for plan in track(plans, len(plans), describe)
    ]
    manifest = replace(unfinished, weights=_hashed(building / WEIGHTS_FILE), buckets=buckets)
    write_manifest(manifest, building)
    return manifest


def _export_bucket(
    model: BigBird,
    plan: BucketPlan,
    building: Path,
    weights: SharedWeights,
    verifier: Verifier,
    manifest: Manifest,
) -> Bucket:
    graph = trace(model, plan.length)
    weights.take_from(graph)
    path = building / f"graph-{plan.length}.onnx"
    ir.save(graph, path)
    try:
        session = open_session(path, manifest, device="cpu", threads=available_cores())
    except BundleError as error:
        raise ExportError(f"bucket {plan.length}: {error}") from error
    longest = pad_batch([random_document(model.config, plan.length)], plan.length)
    # Measured first: later runs reuse the memory of earlier ones.
    peak_memory_bytes = peak_rise(lambda: session.run(longest))
    parity = verifier.compare(plan, session)
    return Bucket(
        length=plan.length,
        attention=plan.attention,
        file=path.name,
        bytes=path.stat().st_size,
        sha256=file_sha256(path),
        parity=parity,
        peak_memory_bytes=peak_memory_bytes,
    )


def _manifest_without_graphs(
    checkpoint: Checkpoint, building: Path, options: ExportOptions, special_ids: SpecialIds, max_length: int
) -> Manifest:
    """Return all of the manifest that is known before the first graph is traced."""
    config = checkpoint.config
    inputs, outputs = _tensors(checkpoint.task, config)
    return Manifest(
        format_version=FORMAT_VERSION,
        task=cast(TaskName, checkpoint.task),
        labels=[] if checkpoint.task == "qa" else list(config.labels),
        problem_type=config.problem_type,
        pattern=options.pattern,
        precision="fp32",
        # A model with a single token type knows no second segment.
        pair_types="zeros" if config.type_vocab_size == 1 else options.pair_types,
        block_size=config.block_size,
        max_length=max_length,
        tokenizer=TokenizerFile(
            **asdict(_hashed(building / TOKENIZER_FILE)),
            cls_id=special_ids.cls,
            sep_id=special_ids.sep,
            pad_id=config.pad_token_id,
            mask_id=special_ids.mask,
        ),
        weights=_hashed(building / WEIGHTS_FILE),
        inputs=inputs,
        outputs=outputs,
        buckets=[],
        source=Source(name=checkpoint.folder.resolve().name, sha256=checkpoint.sha256()),
        model=cast(ModelConfig, config.to_dict()),
        versions={name: importlib.metadata.version(name) for name in _RECORDED_PACKAGES} | {"opset": str(OPSET)},
    )


def _tensors(task: str, config: BigBirdConfig) -> tuple[list[Tensor], list[Tensor]]:
    """Describe the graphs' inputs and output; the length axis differs from bucket to bucket."""
    logits: dict[str, list[int | str]] = {
        "qa": ["length", 2],
        "classify": [len(config.labels)],
        "ner": ["length", len(config.labels)],
    }
    inputs = [Tensor(name, "int64", [BATCH_AXIS, "length"]) for name in INPUT_NAMES]
    return inputs, [Tensor(OUTPUT_NAME, "float32", [BATCH_AXIS, *logits[task]])]


def _hashed(path: Path) -> HashedFile:
    return HashedFile(file=path.name, bytes=path.stat().st_size, sha256=file_sha256(path))


def _put_in_place(building: Path, output: Path) -> None:
    """Rename the finished bundle; an older one steps aside first, and comes back if the new one cannot be renamed."""
    building.chmod(0o755)
    if not output.exists():
        building.rename(output)
        return
    aside = Path(tempfile.mkdtemp(prefix=f".{output.name}-", dir=output.parent))
    old = output.rename(aside / "old")
    try:
        building.rename(output)
    except BaseException:
        old.rename(output)
        aside.rmdir()
        raise
    shutil.rmtree(aside)
