"""A transformers model taken the whole way: saved, exported, loaded by onnxruntime, and asked about documents."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import sentencepiece
import transformers

from bigbird_inference.bundle import open_bundle
from bigbird_inference.manifest import Attention, AttentionKernelName
from bigbird_inference.runtime.onnx_session import OnnxSession, open_session
from bigbird_inference.runtime.session import Batch
from model_export import pipeline
from model_export.export.buckets import BucketStep, plan_graphs
from model_export.export.trace import AttentionChoice
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.reference_models import (
    Document,
    Reference,
    make_config,
    make_document,
    make_model,
    train_spiece_model,
)

Logits = npt.NDArray[np.float32]


def save_model(model: transformers.PreTrainedModel, folder: Path) -> Path:
    """Save a model with a vocabulary beside it, which together are a checkpoint."""
    model.save_pretrained(folder)
    train_spiece_model(folder)
    return folder


def vocabulary_size(folder: Path) -> int:
    """Return how many pieces the tiny vocabulary has; the folder is scratch space."""
    folder.mkdir(parents=True, exist_ok=True)
    return int(sentencepiece.SentencePieceProcessor(model_file=str(train_spiece_model(folder))).get_piece_size())


def open_graphs(folder: Path, threads: int = 1) -> dict[tuple[Attention, AttentionKernelName], OnnxSession]:
    """Open every graph of a bundle as the service does."""
    bundle = open_bundle(folder)
    return {
        (graph.attention, graph.attention_kernel): open_session(
            bundle.path(graph.file), bundle.manifest, device="cpu", threads=threads
        )
        for graph in bundle.manifest.graphs
    }


class ExportedModel:
    """A transformers model and the sessions of its bundle.

    Args:
        folder: An empty folder to work in.
        task: `qa`, `classify` or `ner`.
        fields: Fields of the transformers configuration.
        buckets: Padded lengths.
        pattern: Name of the random-block pattern.
        head_gain: How much larger the head's weights are drawn.
        attention: The attention kernels.
        only: The kind of attention that is asked about, where the other one's graph would be traced for nothing.
    """

    def __init__(
        self,
        folder: Path,
        task: str,
        fields: dict[str, Any],
        buckets: Sequence[int] | BucketStep,
        pattern: str = "transformers",
        head_gain: float = 2.0,
        attention: AttentionChoice = "composed",
        only: Attention | None = None,
    ) -> None:
        self.task = task
        self.config = make_config(**{"vocab_size": vocabulary_size(folder / "vocabulary"), **fields})
        self.model = make_model(task, self.config, head_gain=head_gain)
        self.reference = Reference(self.model)
        checkpoint = save_model(self.model, folder / "checkpoint")
        options = ExportOptions(buckets=buckets, pattern=pattern, attention=attention)
        with pytest.MonkeyPatch.context() as patch:
            if only is not None:
                patch.setattr(
                    pipeline, "plan_graphs", lambda config: [g for g in plan_graphs(config) if g.attention == only]
                )
            export_checkpoint(checkpoint, folder / "bundle", options)
        bundle = open_bundle(folder / "bundle")
        self.folder = bundle.folder
        self.manifest = bundle.manifest
        self.kernels = sorted(self.manifest.kernels)
        self.sessions = open_graphs(bundle.folder)
        self._references: dict[int, Logits] = {}

    def buckets(self, attention: Attention | None = None, length: int = 1) -> list[int]:
        """Return the padded lengths that hold a document, those of one attention kind or all."""
        buckets = self.manifest.buckets
        return [b.length for b in buckets if attention in (None, b.attention) and b.length >= length]

    def attention(self, length: int) -> Attention:
        """Return the attention kind of a document by the rule of the reference: at most (5 + 2r) blocks are full."""
        edge = (5 + 2 * self.config.num_random_blocks) * self.config.block_size
        return "full" if self.config.attention_type == "original_full" or length <= edge else "block_sparse"

    def padded_length(self, length: int) -> int:
        """Return a document's length in whole blocks, in tokens."""
        return -(-length // self.config.block_size) * self.config.block_size

    def document(self, length: int) -> Document:
        """Return the document of that length."""
        return make_document(length, vocab_size=self.config.vocab_size, type_vocab_size=self.config.type_vocab_size)

    def alone(self, length: int) -> Logits:
        """Return the reference of the document of that length."""
        if length not in self._references:
            self._references[length] = self.reference.alone(self.document(length))
        return self._references[length]

    def served(self, lengths: Sequence[int], bucket: int, kernel: AttentionKernelName = "composed") -> list[Logits]:
        """Run documents in one batch through onnxruntime; padding holds arbitrary ids, which must not count."""
        noise = np.random.default_rng(bucket)
        shape = (len(lengths), bucket)
        ids = noise.integers(0, self.config.vocab_size, shape)
        types = noise.integers(0, self.config.type_vocab_size, shape)
        mask = np.zeros(shape, dtype=np.int64)
        for row, length in enumerate(lengths):
            document = self.document(length)
            ids[row, :length], types[row, :length], mask[row, :length] = (
                document.input_ids,
                document.token_type_ids,
                1,
            )
        batch = Batch(input_ids=ids, attention_mask=mask, token_type_ids=types)
        logits = self.sessions[self.attention(bucket), kernel].run(batch)["logits"]
        assert np.isfinite(logits).all(), "padding rows must stay finite"
        if self.task == "classify":
            return list(logits)
        return [row[:length] for row, length in zip(logits, lengths, strict=True)]


def largest_difference(left: Logits, right: Logits) -> float:
    """Return the largest absolute difference of two logit arrays, which must have the same shape."""
    assert left.shape == right.shape
    return float(np.abs(left - right).max())
