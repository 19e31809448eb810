"""From a checkpoint to a bundle: the stages of `bigbird export`, one call each.

    checkpoint -> weights -> [trace -> share weights -> write -> verify each bucket] for each graph -> manifest

There is a graph for each kind of attention, and for each attention kernel. The bundle is built in a hidden folder
beside its destination and takes its place when everything is verified (`export.placement`). Whatever fails, nothing is
left behind.
"""

import contextlib
import importlib.metadata
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, cast

import onnx_ir as ir

from bigbird_inference.bundle import file_sha256, write_manifest
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import (
    FORMAT_VERSION,
    WEIGHTS_FILE,
    Attention,
    AttentionKernelName,
    Bucket,
    Graph,
    HashedFile,
    KnownAnswer,
    KnownRun,
    Manifest,
    ModelConfig,
    Parity,
    Precision,
    Source,
    TaskName,
    TokenizerFile,
)
from bigbird_inference.progress import Progress, track
from bigbird_inference.tasks.entity_grouping import unread_positions
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, LoadedCheckpoint
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError, first_few
from model_export.export.buckets import BucketPlan, BucketStep, GraphPlan, plan_buckets, plan_graphs
from model_export.export.bundle_tokenizer import write_bundle_tokenizer
from model_export.export.graph_check import GraphCheck, LoadedGraph, graph_opener, rounded_model
from model_export.export.known_answer import TEXT, known_runs, known_text
from model_export.export.placement import check_destination, hidden_folder, put_in_place
from model_export.export.quantise import quantise
from model_export.export.references import References
from model_export.export.shared_weights import SharedWeights
from model_export.export.signature import signature
from model_export.export.tokenizer import SpecialIds
from model_export.export.trace import OPSET, AttentionChoice, attention_kernels, trace, traced_model
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern

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
    "tokenizers",
)


@dataclass(frozen=True, slots=True)
class ExportOptions(CheckpointOptions):
    """What the person who exports decides; None leaves it to the checkpoint.

    Attributes:
        buckets: Padded lengths in tokens, or a step.
        pattern: Name of the random-block pattern; None takes that of the checkpoint's source.
        pair_types: Token types of pairs: 0 and 1 for the two segments, or zeros throughout.
        precision: `fp32`, `int8` weights and activations in the encoder, or `fp16` or `bf16` ones for GPUs.
        attention: The attention kernels; None takes the precision's own.
        tolerance: Largest allowed difference between the graphs and torch; None for the precision's own.
    """

    buckets: Sequence[int] | BucketStep | None = None
    pattern: str | None = None
    pair_types: PairTypes = "segments"
    precision: Precision = "fp32"
    attention: AttentionChoice | None = None
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
    return export_precisions(folder, {options.precision: output}, options, overwrite=overwrite, name=name)[0]


def export_precisions(
    folder: Path,
    outputs: Mapping[Precision, Path],
    options: ExportOptions,
    *,
    overwrite: bool = False,
    name: str | None = None,
) -> list[Manifest]:
    """Export a checkpoint folder to a bundle for each precision; what torch computes for the checks is shared.

    Args:
        folder: The checkpoint.
        outputs: The bundle to make for each precision.
        options: The choices; its precision does not count.
        overwrite: Replace bundles that are already there, each once the new one is complete.
        name: What the manifests call the checkpoint; None takes the folder's name.

    Returns:
        The manifests that were written.

    Raises:
        ExportError: Something does not fit; of the bundle under way nothing was left behind, those before it are there.
    """
    for precision, output in outputs.items():
        check_destination(output, overwrite=overwrite)
        attention_kernels(precision, options.attention)
    checkpoint = read_checkpoint(folder, options)
    plans = plan_buckets(checkpoint.config, options.buckets)
    pattern = get_pattern(options.pattern or checkpoint.default_pattern)
    source = name or folder.resolve().name
    for assumption in checkpoint.assumptions:
        _say(source, f"assumed: {assumption}")
    loaded = checkpoint.load(pattern)
    for change in loaded.changes:
        _say(source, change)
    if loaded.unused:
        _say(source, f"not used by {checkpoint.task}: {', '.join(first_few(loaded.unused))}")
    unread = unread_positions(loaded.model.config.labels) if checkpoint.task == "ner" else []
    if unread:
        _say(
            source,
            f"positions the service does not read: {', '.join(first_few(unread))}; each label is served as a type of "
            "its own. To have entities joined, rename the labels in id2label of config.json: BIO (B-PER, I-PER), or "
            "BIOES or BILOU with a position in every label",
        )
    references = References(loaded.model, signature(checkpoint.task, loaded.model.config))
    manifests = []
    for precision, output in outputs.items():
        own = replace(options, precision=precision)
        building = _Building(output.name, checkpoint, loaded, references, plans, pattern.name, own)
        try:
            with hidden_folder(output) as folder_of_bundle:
                manifests.append(building.write(folder_of_bundle, source))
                put_in_place(folder_of_bundle, output, overwrite=overwrite)
        except OSError as error:
            # A full disk or a read-only folder: what was being written has no name in the error.
            raise ExportError(f"{error.filename or output}: {error.strerror or error}") from error
    return manifests


def _say(name: str, line: str) -> None:
    """Print a line about a model; several exports may run side by side."""
    print(f"{name}: {line}", file=sys.stderr, flush=True)


@dataclass(frozen=True, slots=True)
class _Building:
    """A bundle that is made; its name is for the lines that tell how far it is."""

    name: str
    checkpoint: Checkpoint
    loaded: LoadedCheckpoint
    references: References
    plans: Sequence[BucketPlan]
    pattern: str
    options: ExportOptions

    def write(self, folder: Path, source: str) -> Manifest:
        """Write every file of the bundle; the source is what its manifest calls the checkpoint."""
        tokenizer_file, special_ids = write_bundle_tokenizer(self.checkpoint, folder)
        kernels = attention_kernels(self.options.precision, self.options.attention)
        traced = {kernel: traced_model(self.references.model, self.options.precision, kernel) for kernel in kernels}
        weights = SharedWeights(folder / WEIGHTS_FILE, self.references.model.state_dict())
        unfinished = self._manifest(folder, source, tokenizer_file, special_ids)
        token_ids = known_text(unfinished, tokenizer_file)
        rounded = rounded_model(self.references.model, self.options.precision)
        check = GraphCheck(
            self.references,
            None if rounded is None else References(rounded, self.references.signature),
            self.plans,
            self.options.precision,
            graph_opener(unfinished),
            self.options.tolerance,
        )
        graphs: list[Graph] = []
        buckets: list[Bucket] = []
        runs: list[KnownRun] = []
        for plan in plan_graphs(self.references.model.config):
            lengths = [bucket.length for bucket in self.plans if bucket.attention == plan.attention]
            if not lengths:
                continue
            loaded = []
            for kernel, model in traced.items():
                _say(self.name, f"tracing {_described(plan.attention, kernel)}")
                graphs.append(self._write_graph(plan, kernel, model, folder, weights))
                try:
                    loaded.append(check.load(folder / graphs[-1].file, model, kernel))
                except BundleError as error:
                    raise ExportError(f"{graphs[-1].file}: {error}") from error
            peak = None if rounded is not None else loaded[0].peak_memory_bytes(lengths[-1])
            unanswered = check.unanswered_lengths()
            with Progress(f"{self.name}: torch's answers", len(unanswered), "document") as progress:
                for length in unanswered:
                    check.answer(length)
                    progress.advance()
            parity: dict[int, list[Parity]] = {length: [] for length in lengths}
            # The longest first: what it has faulted in serves all.
            checked = [(length, graph) for length in lengths[::-1] for graph in loaded]
            for length, graph in track(checked, len(checked), partial(_bucket, self.name, plan.attention)):
                parity[length].append(graph.compare(length))
            own = [
                Bucket(
                    length,
                    plan.attention,
                    parity[length],
                    None if peak is None else peak * length // lengths[-1],
                    peak_memory_measured=peak is not None and length == lengths[-1],
                )
                for length in lengths
            ]
            buckets += own
            runs += known_runs(unfinished, token_ids, graphs[-1], own, loaded[0].session)
        manifest = replace(
            unfinished,
            weights=_hashed(folder / WEIGHTS_FILE),
            graphs=graphs,
            buckets=buckets,
            known_answer=KnownAnswer(TEXT, token_ids, runs) if runs else None,
        )
        write_manifest(manifest, folder)
        return manifest

    def _write_graph(
        self, plan: GraphPlan, kernel: AttentionKernelName, model: BigBird, folder: Path, weights: SharedWeights
    ) -> Graph:
        """Trace a graph, share its weights, write it."""
        graph = trace(model, self.references.signature, plan)
        if self.options.precision == "int8":
            quantise(graph)
        weights.take_from(graph)
        path = folder / f"graph-{plan.attention}{'-fused' if kernel == 'fused' else ''}.onnx"
        ir.save(graph, path)
        return Graph(
            **asdict(_hashed(path)),
            attention=plan.attention,
            attention_kernel=kernel,
            shortest=plan.shortest,
            longest=plan.longest,
            step=plan.step,
        )

    def _manifest(self, folder: Path, name: str, tokenizer_file: Path, special_ids: SpecialIds) -> Manifest:
        """Return the manifest as far as it is known before anything is traced."""
        config, task, options = self.references.model.config, self.checkpoint.task, self.options
        return Manifest(
            format_version=FORMAT_VERSION,
            task=cast(TaskName, task),
            labels=list(config.labels) if task in ("classify", "ner") else [],
            problem_type=config.problem_type,
            pattern=self.pattern,
            precision=options.precision,
            # A model with a single token type knows no second segment.
            pair_types="zeros" if config.type_vocab_size == 1 else options.pair_types,
            block_size=config.block_size,
            max_length=self.plans[-1].length,
            max_batch_items=1 if options.precision == "int8" else None,
            tokenizer=TokenizerFile(
                **asdict(_hashed(tokenizer_file)),
                cls_id=special_ids.cls,
                sep_id=special_ids.sep,
                pad_id=config.pad_token_id,
                mask_id=special_ids.mask,
                eos_id=config.eos_token_id if task == "generate" else None,
                kind=self.checkpoint.tokenizer.kind,
                mask_lstrip=self.checkpoint.tokenizer.mask_lstrip,
                added_tokens=list(self.checkpoint.tokenizer.added_tokens),
            ),
            weights=_hashed(folder / WEIGHTS_FILE),
            inputs=self.references.signature.inputs,
            outputs=self.references.signature.outputs,
            graphs=[],
            buckets=[],
            source=Source(
                name=name,
                kind=self.checkpoint.weights.kind,
                sha256=self.checkpoint.sha256(),
                assumptions=list(self.checkpoint.assumptions),
                note=self.checkpoint.note,
                changes=list(self.loaded.changes),
                ignore_weights=list(self.options.ignore_weights),
                base=self.options.base,
            ),
            model=cast(ModelConfig, config.to_dict()),
            versions=_versions() | {"opset": str(OPSET)},
        )


def _bucket(name: str, attention: Attention, compared: tuple[int, LoadedGraph]) -> str:
    return f"{name}: bucket {compared[0]} ({_described(attention, compared[1].kernel)})"


def _described(attention: Attention, kernel: AttentionKernelName = "composed") -> str:
    return f"{attention.replace('_', '-')} attention{', fused kernel' if kernel == 'fused' else ''}"


def _hashed(path: Path) -> HashedFile:
    return HashedFile(file=path.name, bytes=path.stat().st_size, sha256=file_sha256(path))


def _versions() -> dict[str, str]:
    """Return the versions of the installed ones; onnxruntime goes by one of two names."""
    versions = {}
    for name in _RECORDED_PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions
