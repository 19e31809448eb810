"""Checkpoints served without an export: the torch model that would be traced answers in the place of its graphs."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import TokenizerFile
from bigbird_inference.tasks.registry import create_task
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export.checkpoints.labels import LABELLED_TASKS
from model_export.export.bundle_tokenizer import write_bundle_tokenizer
from model_export.export.references import TorchSession
from model_export.export.signature import signature
from model_export.preparation import ExportOptions, prepare
from tests.fake_model import fake_bucket, fake_manifest


def torch_loaded_model(checkpoint: Path, task: str, bundle: Path) -> LoadedModel:
    """Load a checkpoint with the export's own reading of it; the folder `bundle` gets its tokenizer."""
    prepared = prepare(checkpoint, ["fp32"], ExportOptions(task=task))
    config = prepared.loaded.model.config
    bundle.mkdir()
    file, ids = write_bundle_tokenizer(prepared.checkpoint, bundle)
    found = prepared.checkpoint.tokenizer
    tokenizer = TokenizerFile(
        file.name,
        0,
        "",
        cls_id=ids.cls,
        sep_id=ids.sep,
        pad_id=config.pad_token_id,
        mask_id=ids.mask,
        eos_id=None,
        kind=found.kind,
        mask_lstrip=found.mask_lstrip,
        added_tokens=list(found.added_tokens),
    )
    own = signature(task, config)
    model_config: Any = config.to_dict()
    manifest = replace(
        fake_manifest(task),
        labels=list(config.labels) if task in LABELLED_TASKS else [],
        problem_type=config.problem_type,
        pair_types=prepared.pair_types,
        block_size=config.block_size,
        max_length=prepared.plans[-1].length,
        tokenizer=tokenizer,
        inputs=own.inputs,
        outputs=own.outputs,
        buckets=[fake_bucket(plan.length, plan.attention) for plan in prepared.plans],
        model=model_config,
    )
    session = TorchSession(prepared.loaded.model, own)
    return LoadedModel(
        name=checkpoint.name,
        manifest=manifest,
        task=create_task(manifest, Tokenizer.of_file(tokenizer, file).load()),
        sessions={plan.attention: [session] for plan in prepared.plans},
    )
