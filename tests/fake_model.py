"""A model without a tokenizer file or a graph: words are tokens, and the session answers as the test says.

It stands where a loaded bundle would, so the scheduler and the HTTP layer run as they are.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from bigbird_inference.errors import InvalidInput
from bigbird_inference.loaded_model import LoadedModel
from bigbird_inference.manifest import (
    Attention,
    Bucket,
    Graph,
    HashedFile,
    Manifest,
    ModelConfig,
    Parity,
    Source,
    Tensor,
    TokenizerFile,
)
from bigbird_inference.runtime.session import Batch, Float32Array, Outputs, RunControl, RunTerminated
from bigbird_inference.tasks.base import EncodedRequest, Task
from bigbird_inference.tasks.classification import ClassificationAnswer, ClassificationRequest, LabelScore
from bigbird_inference.tasks.embedding import EmbeddingAnswer, EmbeddingRequest, TokenVector
from bigbird_inference.tasks.entity_grouping import Entity
from bigbird_inference.tasks.entity_recognition import EntityAnswer, EntityRequest
from bigbird_inference.tasks.generation import GeneratedToken, GenerationAnswer, GenerationRequest
from bigbird_inference.tasks.mask_filling import MaskAnswer, MaskPrediction, MaskRequest
from bigbird_inference.tasks.multiple_choice import ChoiceAnswer, ChoiceRequest
from bigbird_inference.tasks.next_sentence import NextSentenceAnswer, NextSentenceRequest, NextSentenceScores
from bigbird_inference.tasks.question_answering import AnswerSpan, QuestionAnswer, QuestionRequest
from bigbird_inference.tasks.registry import TASKS
from bigbird_inference.tokenization.encoded import EncodedSequence, TokenizedText, Window

LABELS = {"classify": ["invoice", "report"], "ner": ["O", "B-PER"]}
MODEL_CONFIG: ModelConfig = {
    "attention_type": "block_sparse",
    "hidden_size": 8,
    "num_attention_heads": 1,
    "num_hidden_layers": 1,
    "num_random_blocks": 3,
    "type_vocab_size": 2,
    "vocab_size": 1000,
}
WINDOW_WORDS = 6
REVISION = "0123456789ab"
POISON = 666
"""A token id on which the fake session fails."""


def graph_inputs(task: str) -> list[Tensor]:
    positions = [Tensor("positions", "int64", ["batch", "positions"])] if task in ("fill-mask", "generate") else []
    return [Tensor(name, "int64", ["batch", "length"]) for name in ("input_ids", "attention_mask")] + positions


def graph_outputs(task: str) -> list[Tensor]:
    if task == "embed":
        return [
            Tensor("hidden", "float32", ["batch", "length", MODEL_CONFIG["hidden_size"]]),
            Tensor("pooled", "float32", ["batch", MODEL_CONFIG["hidden_size"]]),
        ]
    vocabulary = MODEL_CONFIG["vocab_size"]
    shapes: dict[str, list[int | str]] = {
        "qa": ["batch", "length", 2],
        "ner": ["batch", "length", 2],
        "multiple-choice": ["batch", 1],
        "fill-mask": ["batch", "positions", vocabulary],
        "generate": ["batch", "positions", vocabulary],
    }
    return [Tensor("logits", "float32", shapes.get(task, ["batch", 2]))]


def fake_bucket(length: int, attention: Attention = "full") -> Bucket:
    parity = Parity("composed", 0.0, 0.0, 1.0, correlation=1.0, agreement=None, tolerance=1e-4, documents=[length])
    return Bucket(length, attention, [parity], peak_memory_bytes=None, peak_memory_measured=False)


def fake_graph(longest: int, attention: Attention = "full", block_size: int = 8) -> Graph:
    """A graph that takes whole blocks, without a file."""
    digest = "0" * 64
    return Graph(f"graph-{attention}.onnx", 1, digest, attention, "composed", block_size, longest, block_size)


def fake_manifest(task: str, lengths: Sequence[int] = (8, 16)) -> Manifest:
    digest = "0" * 64
    return Manifest(
        format_version=2,
        task=task,  # type: ignore[arg-type]
        labels=LABELS.get(task, []),
        problem_type=None,
        pattern="transformers",
        precision="fp32",
        pair_types="segments",
        block_size=8,
        max_length=max(lengths),
        max_batch_items=None,
        tokenizer=TokenizerFile("tokenizer.model", 1, digest, cls_id=1, sep_id=2, pad_id=0, mask_id=None, eos_id=None),
        weights=HashedFile("weights.bin", 1, digest),
        inputs=graph_inputs(task),
        outputs=graph_outputs(task),
        graphs=[fake_graph(max(lengths))],
        buckets=[fake_bucket(length) for length in lengths],
        source=Source("checkpoint", "safetensors", digest, []),
        model=MODEL_CONFIG,
        versions={"torch": "2.13.0"},
    )


def main_text(request: Any) -> str:
    match request:
        case QuestionRequest():
            return request.context
        case ChoiceRequest() | GenerationRequest():
            return request.prompt
        case NextSentenceRequest():
            return request.first
        case _:
            return request.text


class FakeTask(Task):
    """One token per word and six words per window, between ids 1 and 2; the answer tells what it was made from."""

    quick_bytes = 0

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.operation = TASKS[manifest.task].operation

    def encode(self, request):
        text = main_text(request)
        if text.isspace():
            raise InvalidInput("text is empty or only whitespace")
        if text == "crash while encoding":
            raise RuntimeError("the secret cause")
        words = text.split()
        ids = np.array([int(word) if word.isdigit() else 100 + len(word) for word in words], dtype=np.int64)
        windows = [
            Window(
                sequence([1, *ids[first : first + WINDOW_WORDS], 2]), 1, first, len(ids[first : first + WINDOW_WORDS])
            )
            for first in range(0, len(ids), WINDOW_WORDS)
        ]
        return EncodedRequest(request, TokenizedText(ids, ids, ids), windows)

    def decode(self, encoded, outputs):
        score = float(sum(own["logits"].sum() for own in outputs))
        match encoded.request:
            case QuestionRequest():
                span = AnswerSpan(encoded.request.context[:3], score, 0, 3)
                return QuestionAnswer(span.answer, span.score, 0, 3, [span])
            case ClassificationRequest():
                return ClassificationAnswer("report", score, [LabelScore("report", score), LabelScore("invoice", 0.0)])
            case EntityRequest():
                return EntityAnswer([Entity("PER", encoded.request.text[:3], 0, 3, score)])
            case EmbeddingRequest():
                vectors = [TokenVector("10", 0, 2, [score, 1.0])] if encoded.request.tokens else None
                return EmbeddingAnswer([score, 0.5], 2, vectors)
            case ChoiceRequest():
                return ChoiceAnswer(encoded.request.choices[1], 1, [score, 2.0])
            case MaskRequest():
                sequence = "word and" if encoded.request.sequences else None
                return MaskAnswer([[MaskPrediction("word", 5, score, 0, 3, sequence)]])
            case NextSentenceRequest():
                return NextSentenceAnswer(True, 0.75, NextSentenceScores(0.75, 0.25))
            case GenerationRequest():
                return GenerationAnswer(" and more", [GeneratedToken("and", 7)], "length", encoded.request.seed)


class FakeSession:
    """Answers `[batch, 2]` logits: each row's sum of token ids, and 0. It keeps the batches it has seen.

    `before_run` is called with each batch, in the executor; what it raises is the run's failure. A run that was ended
    by then gives nothing.
    """

    def __init__(self, before_run: Callable[[Batch], None] = lambda batch: None) -> None:
        self.batches: list[Batch] = []
        self.before_run = before_run

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.batches.append(batch)
        self.before_run(batch)
        if control is not None and control.terminated:
            raise RunTerminated
        if (batch.input_ids == POISON).any():
            raise RuntimeError("the secret cause")
        sums = (batch.input_ids * batch.attention_mask).sum(axis=1, dtype=np.float32)
        return {"logits": np.stack([sums, np.zeros_like(sums)], axis=1)}


def fake_loaded_model(
    task: str = "classify", name: str | None = None, session: FakeSession | None = None
) -> LoadedModel:
    manifest = fake_manifest(task)
    session = session or FakeSession()
    return LoadedModel(
        name=name or f"fake-{task}",
        manifest=manifest,
        task=FakeTask(manifest),
        sessions={"full": [session]},
        revision=REVISION,
    )


def logits_only(arrays: Sequence[Float32Array]) -> list[Outputs]:
    """The outputs of windows whose model has logits and nothing else."""
    return [{"logits": array} for array in arrays]


def sequence(ids: Sequence[int]) -> EncodedSequence:
    return EncodedSequence(np.array(ids, dtype=np.int64), np.zeros(len(ids), dtype=np.int64))
