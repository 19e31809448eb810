"""The manifest as far as it is known before anything is traced."""

import contextlib
import importlib.metadata
from dataclasses import asdict
from pathlib import Path
from typing import cast

from bigbird_inference.manifest import (
    FORMAT_VERSION,
    HashedFile,
    Manifest,
    ModelConfig,
    Precision,
    Source,
    TaskName,
    TokenizerFile,
)
from model_export.checkpoints.labels import LABELLED_TASKS
from model_export.export.signature import Signature
from model_export.export.tokenizer import SpecialIds
from model_export.export.trace import OPSET
from model_export.preparation import Prepared

_RECORDED_PACKAGES = (
    "bigbird-serve",
    "torch",
    "onnx",
    "onnxscript",
    "onnxruntime",
    "onnxruntime-gpu",
    "numpy",
    "sentencepiece",
    "tokenizers",
)


def unfinished_manifest(
    prepared: Prepared,
    signature: Signature,
    precision: Precision,
    tokenizer_file: Path,
    special_ids: SpecialIds,
    weights: HashedFile,
) -> Manifest:
    """Return a manifest without graphs, buckets and known answer.

    Args:
        prepared: The checkpoint and the choices.
        signature: What goes into the graphs and what comes out.
        precision: Of the graphs.
        tokenizer_file: The vocabulary in the bundle.
        special_ids: The ids that stand around texts.
        weights: The file of the weights; it is still empty.
    """
    checkpoint = prepared.checkpoint
    config, task = prepared.loaded.model.config, checkpoint.task
    ends = config.end_ids if task == "generate" else ()
    return Manifest(
        format_version=FORMAT_VERSION,
        task=cast(TaskName, task),
        labels=list(config.labels) if task in LABELLED_TASKS else [],
        problem_type=config.problem_type,
        pattern=prepared.pattern,
        precision=precision,
        pair_types=prepared.pair_types,
        block_size=config.block_size,
        max_length=prepared.plans[-1].length,
        max_batch_items=1 if precision == "int8" else None,
        tokenizer=TokenizerFile(
            **asdict(HashedFile.of(tokenizer_file)),
            cls_id=special_ids.cls,
            sep_id=special_ids.sep,
            pad_id=config.pad_token_id,
            mask_id=special_ids.mask,
            eos_id=ends[0] if ends else None,
            further_eos_ids=list(ends[1:]),
            kind=checkpoint.tokenizer.kind,
            mask_lstrip=checkpoint.tokenizer.mask_lstrip,
            added_tokens=list(checkpoint.tokenizer.added_tokens),
            token_types=config.token_types,
        ),
        weights=weights,
        inputs=signature.inputs,
        outputs=signature.outputs,
        graphs=[],
        buckets=[],
        source=Source(
            name=prepared.source,
            kind=checkpoint.weights.kind,
            sha256=checkpoint.sha256(),
            assumptions=list(checkpoint.assumptions),
            note=checkpoint.note,
            changes=list(prepared.loaded.changes),
            ignore_weights=list(checkpoint.ignore_weights),
            base=prepared.base,
            positions=checkpoint.positions,
        ),
        model=cast(ModelConfig, config.to_dict()),
        versions=_versions() | {"opset": str(OPSET)},
        pooling=checkpoint.pooling,
    )


def _versions() -> dict[str, str]:
    """Return the versions of the installed ones; onnxruntime goes by one of two names."""
    versions = {}
    for name in _RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
