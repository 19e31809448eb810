"""In fp32 a document's numbers are the same to the last bit: alone, padded, in any batch, with any number of threads.

So they are in each runtime that computes in fp32 what is in fp32, and in bfloat16.

Over HTTP it depends on the machine which documents share a batch; here they are put together.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.manifest import Attention
from bigbird_inference.runtime.session import Batch, Session
from tests.cpu_runtimes import ONNXRUNTIME, OPENVINO, OPENVINO_BF16, CpuCase
from tests.end_to_end.conftest import TASKS

# The edge of full attention is at 704 tokens.
LENGTHS: dict[Attention, list[int]] = {"full": [3, 65, 128, 300, 704], "block_sparse": [705, 1024, 1100, 2048]}

Logits = npt.NDArray[np.float32]


class Documents:
    """Random documents, one of each length, and a bundle that reads them."""

    def __init__(self, bundle: Bundle, attention: Attention) -> None:
        self.bundle = bundle
        self.attention = attention
        self.lengths = LENGTHS[attention]
        buckets = bundle.manifest.buckets
        self.buckets = sorted(bucket.length for bucket in buckets if bucket.attention == attention)
        random = np.random.default_rng(7)
        vocabulary = bundle.manifest.model["vocab_size"]
        self._ids = {length: random.integers(vocabulary, size=length) for length in self.lengths}
        self._noise = random.integers(vocabulary, size=(8, max(self.buckets)))

    def open(self, cpu: CpuCase, threads: int) -> Session:
        graph = self.bundle.path(self.bundle.manifest.graph(self.attention, "composed").file)
        return cpu.open(graph, self.bundle.manifest, threads)

    def run(self, session: Session, bucket: int, lengths: Sequence[int]) -> list[Logits]:
        """Return each document's logits; what stands in the padding must not matter."""
        ids = self._noise[: len(lengths), :bucket].copy()
        mask = np.zeros_like(ids)
        for row, length in enumerate(lengths):
            ids[row, :length], mask[row, :length] = self._ids[length], 1
        logits = session.run(Batch(ids, mask, np.zeros_like(ids)))["logits"]
        per_token = "length" in self.bundle.manifest.outputs[0].shape
        return [row[:length] if per_token else row for row, length in zip(logits, lengths, strict=True)]

    def smallest_bucket(self, length: int) -> int:
        return next(bucket for bucket in self.buckets if bucket >= length)


@pytest.mark.parametrize("cpu", [ONNXRUNTIME, OPENVINO, OPENVINO_BF16])
@pytest.mark.parametrize("attention", LENGTHS)
@pytest.mark.parametrize("task", TASKS)
def test_numbers_do_not_depend_on_bucket_batch_or_threads(
    bundles: Path, task: str, attention: Attention, cpu: CpuCase
) -> None:
    documents = Documents(open_bundle(bundles / f"demo-{task}"), attention)
    one_thread, two_threads = documents.open(cpu, 1), documents.open(cpu, 2)
    alone = {
        length: documents.run(one_thread, documents.smallest_bucket(length), [length])[0]
        for length in documents.lengths
    }
    assert all(np.isfinite(logits).all() and logits.std() > 0 for logits in alone.values())
    for bucket in documents.buckets:
        fitting = [length for length in documents.lengths if length <= bucket]
        for session in (one_thread, two_threads):
            for documents_together in ([fitting[0]], fitting, fitting[::-1]):
                for length, logits in zip(
                    documents_together, documents.run(session, bucket, documents_together), strict=True
                ):
                    np.testing.assert_array_equal(logits, alone[length])
