"""Every head's outputs through each runtime are those of transformers for each document alone.

They are the very same bits, whatever bucket holds the document and whatever other documents are in the batch.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import torch
import transformers

from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import Attention
from bigbird_inference.runtime.session import Batch, Session
from model_export.export.buckets import BucketStep
from model_export.nn.heads import HEADS
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.cpu_runtimes import IN_ONNXRUNTIME, ONNXRUNTIME, OPENVINO, OPENVINO_BF16, CpuCase
from tests.model_export.head_models import make_head, save_head
from tests.model_export.reference_models import Document, make_document

TOLERANCE = 1e-4
SMALLEST_SPREAD = 0.5

FULL_LENGTHS = (1, 17, 100, 112)
SPARSE_LENGTHS = (113, 128, 150, 250, 256)
# A length can be padded to any of the buckets that the bundle has, which are all whole blocks.
BUCKETS = (48, 112, 160, 256)
EVERY_BLOCK = BucketStep(16)
EDGE = 112

Arrays = dict[str, npt.NDArray[np.float32]]


class ExportedHead:
    """A transformers model of one task, exported and loaded."""

    def __init__(
        self, task: str, folder: Path, buckets: Sequence[int] | BucketStep = EVERY_BLOCK, **fields: object
    ) -> None:
        self.task = task
        self.model = make_head(task, **fields)
        self.config = self.model.config
        checkpoint = save_head(self.model, folder / "checkpoint")
        self.folder = folder / "bundle"
        # What the head for Natural Questions is, the checkpoint says.
        told = None if task == "natural-questions" else task
        export_checkpoint(checkpoint, self.folder, ExportOptions(task=told, buckets=buckets))
        self.manifest = read_manifest(self.folder)
        self._sessions: dict[tuple[CpuCase, int, Attention], Session] = {}
        self._alone: dict[int, Arrays] = {}

    def session(self, cpu: CpuCase, threads: int, attention: Attention) -> Session:
        """Return the session of a graph; it is loaded once."""
        key = cpu, threads, attention
        if key not in self._sessions:
            graph = self.folder / self.manifest.graph(attention, "composed").file
            self._sessions[key] = cpu.open(graph, self.manifest, threads)
        return self._sessions[key]

    def buckets(self, length: int) -> list[int]:
        """Return every bucket that a document of that length may be padded to."""
        attention = next(bucket.attention for bucket in self.manifest.buckets if bucket.length >= length)
        return [b.length for b in self.manifest.buckets if b.attention == attention and b.length >= length]

    def document(self, length: int) -> Document:
        return make_document(length, vocab_size=self.config.vocab_size)

    def positions(self, length: int) -> list[int]:
        """Some positions, in no order and with the last; other documents have more or fewer."""
        return [length - 1, *range(0, length - 1, 29)]

    def alone(self, length: int) -> Arrays:
        """Return transformers' outputs for the document of that length; it is asked once, for it takes its time."""
        if length not in self._alone:
            self._alone[length] = self.asked(length)
        return self._alone[length]

    def asked(self, length: int) -> Arrays:
        """Ask transformers for its outputs for the document of that length, and return them under our names."""
        document = self.document(length)
        encoder = self.model if isinstance(self.model, transformers.BigBirdModel) else self.model.bert
        # Short documents change it for good; a decoder's causal mask exists in full attention only.
        encoder.set_attention_type("original_full" if self.task == "generate" else "block_sparse")
        inputs = {
            "input_ids": torch.from_numpy(document.input_ids)[None],
            "attention_mask": torch.ones(1, length, dtype=torch.int64),
            "token_type_ids": torch.from_numpy(document.token_type_ids)[None],
        }
        with torch.inference_mode():
            if self.task in ("qa", "natural-questions"):
                # A question of no tokens: nothing is subtracted from the logits, so every position can be compared.
                output = self.model(**inputs, question_lengths=torch.zeros(1, 1, dtype=torch.int64))
            elif self.task == "multiple-choice":
                output = self.model(**{name: tensor[:, None] for name, tensor in inputs.items()})
            else:
                output = self.model(**inputs)
        match self.task:
            case "embed":
                return {"hidden": output.last_hidden_state[0].numpy(), "pooled": output.pooler_output[0].numpy()}
            case "next-sentence":
                return {"logits": output.seq_relationship_logits[0].numpy()}
            case "fill-mask" | "generate":
                return {"logits": output.logits[0, self.positions(length)].numpy()}
            case "qa":
                return {"logits": _spans(output)}
            case "natural-questions":
                return {"logits": _spans(output), "answer_type": self.model.answer_types(output)[0]}
            case _:
                return {"logits": output.logits[0].numpy()}

    def served(
        self, lengths: Sequence[int], bucket: int, threads: int = 1, cpu: CpuCase = IN_ONNXRUNTIME
    ) -> list[Arrays]:
        """Run documents in one batch; padding holds arbitrary ids, which must not count."""
        noise = np.random.default_rng(bucket)
        ids = noise.integers(0, self.config.vocab_size, (len(lengths), bucket))
        types, mask = np.zeros_like(ids), np.zeros_like(ids)
        positions = np.zeros((len(lengths), max(len(self.positions(length)) for length in lengths)), dtype=np.int64)
        for row, length in enumerate(lengths):
            document = self.document(length)
            ids[row, :length], types[row, :length] = document.input_ids, document.token_type_ids
            mask[row, :length] = 1
            positions[row, : len(self.positions(length))] = self.positions(length)
        takes_positions = self.task in ("fill-mask", "generate")
        attention = next(known.attention for known in self.manifest.buckets if known.length == bucket)
        batch = Batch(ids, mask, types, positions if takes_positions else None)
        outputs = self.session(cpu, threads, attention).run(batch)

        def cut(array: npt.NDArray[np.float32], length: int) -> npt.NDArray[np.float32]:
            rows = len(self.positions(length)) if takes_positions else length
            return array[:rows] if array.ndim == 2 else array

        return [
            {name: cut(array[row], length) for name, array in outputs.items()} for row, length in enumerate(lengths)
        ]


@pytest.fixture(scope="module")
def head_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], ExportedHead]:
    """Return the head of a task; it is exported once."""
    exported: dict[str, ExportedHead] = {}

    def of(task: str) -> ExportedHead:
        if task not in exported:
            exported[task] = ExportedHead(task, tmp_path_factory.mktemp("head"))
        return exported[task]

    return of


# Tracing a head's graphs takes longer than all of its tests. In `make test`, `tests/end_to_end/test_heads.py` compares
# answers and shares the graphs of the others here; `test_parity.py` has question answering.
SELDOM = ("qa", "classify", "ner", "next-sentence", "multiple-choice")


@pytest.fixture(
    params=[
        pytest.param(task, marks=[pytest.mark.integration] if task in SELDOM else [])
        for task in (*HEADS, "natural-questions")
    ]
)
def head(request: pytest.FixtureRequest, head_of: Callable[[str], ExportedHead]) -> ExportedHead:
    return head_of(request.param)


def _spans(output: Any) -> npt.NDArray[np.float32]:
    logits: npt.NDArray[np.float32] = torch.stack([output.start_logits[0], output.end_logits[0]], dim=-1).numpy()
    return logits


def _assert_equal(found: Arrays, expected: Arrays) -> float:
    assert found.keys() == expected.keys()
    assert all(found[name].shape == expected[name].shape for name in expected)
    difference = max(float(np.abs(found[name] - expected[name]).max()) for name in expected)
    assert difference <= TOLERANCE
    return difference


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO])
@pytest.mark.parametrize("bucket", BUCKETS)
def test_each_document_gets_its_own_outputs_alone_and_in_a_batch(head: ExportedHead, bucket: int, cpu: CpuCase) -> None:
    kind = FULL_LENGTHS + SPARSE_LENGTHS if head.task == "generate" else FULL_LENGTHS
    lengths = [length for length in (kind if bucket <= EDGE or head.task == "generate" else SPARSE_LENGTHS)]
    lengths = [length for length in lengths if length <= bucket][::-1]
    differences = []
    for length, outputs in zip(lengths, head.served(lengths, bucket, cpu=cpu), strict=True):
        differences.append(_assert_equal(outputs, head.alone(length)))
        differences.append(_assert_equal(head.served([length], bucket, cpu=cpu)[0], head.alone(length)))
    print(f"{head.task} in bucket {bucket}: at most {max(differences):.3g}")


def _padded_and_mixed(
    head: ExportedHead, cpu: CpuCase, lengths: Sequence[int]
) -> Iterator[tuple[int, int, str, Arrays]]:
    """Yield what documents get alone in every bucket, and in batches of other documents, shorter and longer ones."""
    for bucket in sorted({bucket for length in lengths for bucket in head.buckets(length)}):
        own = [length for length in lengths if bucket in head.buckets(length)]
        for length in own:
            yield length, bucket, "alone", head.served([length], bucket, cpu=cpu)[0]
        for batch, threads in ((own, 1), (own[::-1], 2), (own[::2] * 2, 1), (own[1::2], 2)):
            if batch:
                for length, outputs in zip(batch, head.served(batch, bucket, threads, cpu), strict=True):
                    yield length, bucket, f"with {batch}, {threads} threads", outputs


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO, OPENVINO_BF16])
def test_a_document_has_the_same_bits_in_every_bucket_and_in_every_batch(head: ExportedHead, cpu: CpuCase) -> None:
    lengths = [1, 2, 15, 16, 17, 33, 100, 112, 113, 128, 129, 150, 250, 256]
    first: dict[int, Arrays] = {}
    runs = 0
    for length, bucket, how, outputs in _padded_and_mixed(head, cpu, lengths):
        known = first.setdefault(length, outputs)
        for name, array in known.items():
            assert np.array_equal(array, outputs[name]), (length, bucket, how, np.abs(array - outputs[name]).max())
        runs += 1
    assert runs > 10 * len(lengths)


def test_the_outputs_that_are_compared_are_spread_out(head: ExportedHead) -> None:
    outputs = [head.alone(length) for length in FULL_LENGTHS + SPARSE_LENGTHS]
    for name in outputs[0]:
        assert np.concatenate([arrays[name].ravel() for arrays in outputs]).std() >= SMALLEST_SPREAD, name


def test_a_decoder_that_saw_what_follows_would_miss(head_of: Callable[[str], ExportedHead]) -> None:
    head = head_of("generate")
    length = 100
    causal = head.asked(length)["logits"]
    head.model.config.is_decoder = False
    try:
        assert np.abs(head.asked(length)["logits"] - causal).max() >= 100 * TOLERANCE
    finally:
        head.model.config.is_decoder = True


def test_word_embeddings_that_the_head_is_tied_to_are_stored_once(head_of: Callable[[str], ExportedHead]) -> None:
    head = head_of("fill-mask")
    shape = (head.config.vocab_size, head.config.hidden_size)
    graph = onnx.load(head.folder / "graph.onnx", load_external_data=False).graph
    of_that_size = [tensor.name for tensor in graph.initializer if sorted(tensor.dims) == sorted(shape)]
    assert of_that_size == ["embeddings.word.weight"]
    stored = (head.folder / "weights.bin").read_bytes()
    table = head.model.bert.embeddings.word_embeddings.weight.detach().numpy()
    assert stored.count(table.tobytes()) == 1
    assert stored.count(np.ascontiguousarray(table.T).tobytes()) == 0


@pytest.mark.integration
def test_a_head_with_a_matrix_of_its_own_uses_it(tmp_path: Path) -> None:
    head = ExportedHead("fill-mask", tmp_path, (112,), tie_word_embeddings=False)
    tied = head.model.bert.embeddings.word_embeddings.weight
    assert not torch.equal(tied, head.model.cls.predictions.decoder.weight)
    _assert_equal(head.served([100], 112)[0], head.alone(100))


@pytest.mark.integration
def test_an_encoder_without_a_pooler_has_hidden_states_only(tmp_path: Path) -> None:
    checkpoint = save_head(make_head("qa"), tmp_path / "checkpoint")
    manifest = export_checkpoint(checkpoint, tmp_path / "bundle", ExportOptions(task="embed", buckets=(112,)))
    assert [tensor.name for tensor in manifest.outputs] == ["hidden"]
    assert manifest.model["has_pooler"] is False  # type: ignore[typeddict-item]
