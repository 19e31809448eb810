"""What is known of an export before anything is made: the checkpoint, read and checked, and what will be made of it.

`bigbird export` says it first, and with `--dry-run` nothing else.
"""

import tempfile
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bigbird_inference.extras import install_command
from bigbird_inference.facts import and_added, fact, listed
from bigbird_inference.manifest import AttentionKernelName, PairTypes, Precision
from bigbird_inference.runtime.openvino_session import WHOLE_LENGTHS
from bigbird_inference.tasks.answer_types import ANSWER_TYPES
from bigbird_inference.tasks.label_scheme import OUTSIDE, unread_positions
from model_export.checkpoints.checkpoint import Checkpoint, CheckpointOptions, LoadedCheckpoint
from model_export.checkpoints.labels import LABELLED_TASKS
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import first_few, printable
from model_export.export import nncf_quantise
from model_export.export.buckets import BucketPlan, BucketStep, plan_buckets
from model_export.export.bundle_tokenizer import write_bundle_tokenizer
from model_export.export.duration import about, expected_seconds, operations_per_second
from model_export.export.trace import AttentionChoice, attention_kernels
from model_export.patterns.registry import get_pattern

_LISTED = 8
_PAIRED_TASKS = ("classify", "multiple-choice", "next-sentence")


@dataclass(frozen=True, slots=True)
class ExportOptions(CheckpointOptions):
    """What the person who exports decides; None leaves it to the checkpoint.

    Attributes:
        buckets: Padded lengths in tokens, or a step.
        pattern: Name of the random-block pattern; None takes that of the checkpoint's source.
        pair_types: Token types of pairs; None takes those that the checkpoint was trained with.
        precision: `fp32`, `int8` weights and activations in the encoder, or `fp16` or `bf16` ones for GPUs.
        attention: The attention kernels; None takes the precision's own.
        tolerance: Largest allowed difference between the graphs and torch; None for the precision's own.
        calibration: Texts like those that will be asked about; int8 graphs for OpenVINO take their ranges from them.
    """

    buckets: Sequence[int] | BucketStep | None = None
    pattern: str | None = None
    pair_types: PairTypes | None = None
    precision: Precision = "fp32"
    attention: AttentionChoice | None = None
    tolerance: float | None = None
    calibration: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A checkpoint that was read and checked, and what is to be made of it.

    Attributes:
        source: What the manifest calls it.
        checkpoint: Its files.
        loaded: Its model.
        plans: The buckets.
        pattern: Name of the random-block pattern.
        pair_types: Token types of pairs.
        kernels: The attention kernels of each precision that is made.
        base: What was said to be the base of an adapter.
        calibration: Texts for int8 graphs.
    """

    source: str
    checkpoint: Checkpoint
    loaded: LoadedCheckpoint
    plans: Sequence[BucketPlan]
    pattern: str
    pair_types: PairTypes
    kernels: Mapping[Precision, Sequence[AttentionKernelName]]
    base: str | None = None
    calibration: tuple[str, ...] = ()

    def check_tokenizer(self) -> None:
        """Make the bundle's tokenizer and throw it away, for a run that ends here.

        Raises:
            CheckpointError: It cannot be made.
        """
        with tempfile.TemporaryDirectory() as folder:
            write_bundle_tokenizer(self.checkpoint, Path(folder))

    def lines(self) -> list[str]:
        """Return what there is to say to the person who exports."""
        lines = [self.source, *(line for label, text in self._facts() for line in fact(label, text))]
        return [printable(line) for line in lines]

    def _facts(self) -> Iterable[tuple[str, str]]:
        checkpoint, config = self.checkpoint, self.loaded.model.config
        yield "source", f"{checkpoint.weights.kind}, {checkpoint.folder}"
        yield "task", checkpoint.task
        if checkpoint.task in LABELLED_TASKS:
            yield "labels", f"{len(config.labels)}: {listed(first_few(config.labels))}"
        if checkpoint.task == "ner":
            yield from (("labels", problem) for problem in _entity_label_problems(config.labels))
        if config.has_answer_types:
            yield "answers", f"spans, and a type by a head of its own: {listed(ANSWER_TYPES)}"
        yield (
            "model",
            f"{config.num_hidden_layers} layers, hidden size {config.hidden_size}, {config.num_attention_heads} heads, "
            f"vocabulary {config.vocab_size}",
        )
        tokenizer = checkpoint.tokenizer
        yield "tokenizer", tokenizer.file.name + and_added([token.content for token in tokenizer.added_tokens])
        yield "attention", f"blocks of {config.block_size}, random blocks of {self.pattern}"
        if checkpoint.pooling is not None:
            yield "pooling", checkpoint.pooling
        if checkpoint.task in _PAIRED_TASKS:
            yield "pairs", f"token types {self.pair_types}"
        yield from (("assumed", line) for line in checkpoint.assumptions)
        yield from (("changed", line) for line in self.loaded.changes)
        if self.loaded.unused:
            yield "not used", listed(first_few(self.loaded.unused))
        if "int8" in self.kernels:
            yield "int8", self._int8()
        yield "buckets", self._buckets()
        yield "time", about(expected_seconds(config, self.plans, self.kernels, operations_per_second(config)))

    def _int8(self) -> str:
        """Describe what the products in 8 bits are made for."""
        missing = self.no_int8_for_openvino()
        if missing is not None:
            return f"for onnxruntime alone; {missing}"
        if not self.calibration:
            return (
                "for onnxruntime and OpenVINO; with --calibration FILE, activations get the ranges of its texts, which "
                "OpenVINO runs faster"
            )
        return f"for onnxruntime and OpenVINO, with the ranges that {len(self.calibration)} texts show"

    def no_int8_for_openvino(self) -> str | None:
        """Return why an int8 bundle gets no graphs for OpenVINO, and what to do; None if it gets them."""
        if not nncf_quantise.installed():
            return f"{install_command('nncf')} adds what OpenVINO runs faster"
        odd = [plan.length for plan in self.plans if plan.length % WHOLE_LENGTHS]
        if odd:
            return f"OpenVINO needs --buckets of whole {WHOLE_LENGTHS} tokens, of which {odd[0]} is none"
        return None

    def _buckets(self) -> str:
        """Describe the padded lengths, and where full attention ends among them."""
        lengths = [plan.length for plan in self.plans]
        full = [plan.length for plan in self.plans if plan.attention == "full"]
        listing = listed(map(str, lengths)) if len(lengths) <= _LISTED else f"{lengths[0]} to {lengths[-1]}"
        kinds = "" if len(full) == len(lengths) else f", with full attention up to {full[-1]}"
        return f"{len(lengths)}: {listing} tokens{kinds}"


def prepare(
    folder: Path, precisions: Collection[Precision], options: ExportOptions, *, name: str | None = None
) -> Prepared:
    """Read a checkpoint and check that it can be exported; nothing is made.

    Args:
        folder: The checkpoint.
        precisions: Those that are to be made.
        options: The choices; its precision does not count.
        name: What the manifests call the checkpoint; None takes the folder's name.

    Raises:
        ExportError: Something does not fit.
    """
    kernels = {precision: attention_kernels(precision, options.attention) for precision in precisions}
    checkpoint = read_checkpoint(folder, options)
    checkpoint.config.require_task(checkpoint.task)
    plans = plan_buckets(checkpoint.config, options.buckets)
    pattern = get_pattern(options.pattern or checkpoint.default_pattern)
    # A model with a single token type knows no second segment.
    pair_types = "zeros" if checkpoint.config.type_vocab_size == 1 else options.pair_types or checkpoint.pair_types
    return Prepared(
        source=name or folder.resolve().name,
        checkpoint=checkpoint,
        loaded=checkpoint.load(pattern),
        plans=plans,
        pattern=pattern.name,
        pair_types=pair_types,
        kernels=kernels,
        base=options.base,
        calibration=options.calibration,
    )


def _entity_label_problems(labels: Sequence[str]) -> Iterable[str]:
    """Yield what will surprise in the entities that are served with these labels."""
    unread = unread_positions(labels)
    if unread:
        yield (
            f"positions the service does not read: {listed(first_few(unread))}; each label is served as a type of its "
            "own. To have entities joined, rename them with --labels: BIO (B-PER, I-PER), or BIOES or BILOU with a "
            "position in every label"
        )
    if OUTSIDE not in labels:
        yield (
            f"none is called {OUTSIDE}, so every word is served as an entity; rename the one that marks none with "
            "--labels"
        )
