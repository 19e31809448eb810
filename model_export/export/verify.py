"""Compare a bucket's graph with the model it was traced from, before anybody is served by it.

The reference for a document is the torch model on that document *alone*, padded only to whole blocks. The graph
gets all documents in one batch, padded to the bucket. So the comparison covers the tracing, the session that will
serve, and the promise that neither bucket nor batch changes a number.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.nn.model import BigBird
from service.bundle import Parity
from service.runtime.session import Batch, Session

FP32_TOLERANCE = 1e-4


@dataclass(frozen=True, slots=True)
class Document:
    """A random model input: int64 `[length]` each."""

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]


class Verifier:
    """Compares buckets with the torch model; the reference runs of a length are kept for the next bucket.

    Args:
        model: The traced model, in evaluation mode.
        has_length_axis: Whether the logits have one row for each token.
        tolerance: Largest allowed absolute difference, for logits whose standard deviation is at most 1;
            it grows in proportion to larger ones.
    """

    def __init__(self, model: BigBird, *, has_length_axis: bool, tolerance: float = FP32_TOLERANCE) -> None:
        self._model = model
        self._config = model.config
        self._has_length_axis = has_length_axis
        self._tolerance = tolerance
        self._references: dict[int, npt.NDArray[np.float32]] = {}

    def compare(self, bucket: BucketPlan, session: Session) -> Parity:
        """Run the documents of a bucket through its session.

        Raises:
            ExportError: The logits differ by more than the tolerance, or are not finite.
        """
        lengths = document_lengths(bucket, self._config)
        documents = [random_document(self._config, length) for length in lengths]
        logits = session.run(pad_batch(documents, bucket.length))
        references = [self._reference(document) for document in documents]
        answers = [row[: len(reference)] for row, reference in zip(logits, references, strict=True)]
        difference = max(
            float(np.abs(answer - reference).max()) for answer, reference in zip(answers, references, strict=True)
        )
        spread = float(np.concatenate([reference.ravel() for reference in references]).std())
        tolerance = self._tolerance * max(1.0, spread)
        # Not `>`: a difference that is not a number must fail too.
        if not difference <= tolerance:
            raise ExportError(
                f"bucket {bucket.length}: logits differ from torch by {difference:.3g}, more than {tolerance:.3g}"
            )
        return Parity(max_abs_difference=difference, logits_std=spread, tolerance=tolerance, documents=lengths)

    def _reference(self, document: Document) -> npt.NDArray[np.float32]:
        """Return the torch model's logits of a document alone, cut to its length."""
        length = len(document.input_ids)
        if length not in self._references:
            block_size = self._config.block_size
            alone = min(-(-length // block_size) * block_size, self._config.max_length)
            batch = pad_batch([document], alone)
            with torch.inference_mode():
                logits = self._model(
                    torch.from_numpy(batch.input_ids),
                    torch.from_numpy(batch.attention_mask),
                    torch.from_numpy(batch.token_type_ids),
                )
            row: npt.NDArray[np.float32] = logits[0].numpy()
            self._references[length] = row[:length] if self._has_length_axis else row
        return self._references[length]


def document_lengths(bucket: BucketPlan, config: BigBirdConfig) -> list[int]:
    """Return lengths in tokens worth comparing: the bucket's extremes, and both sides of an inner block edge."""
    block_size = config.block_size
    shortest = 1 if bucket.attention == "full" else config.full_attention_edge + 1
    middle_edge = (shortest + bucket.length) // 2 // block_size * block_size
    candidates = {shortest, middle_edge - 1, middle_edge, middle_edge + 1, bucket.length - 1, bucket.length}
    return sorted(length for length in candidates if shortest <= length <= bucket.length)


def random_document(config: BigBirdConfig, length: int) -> Document:
    """Return the random document of a length; the same length gives the same document."""
    generator = np.random.default_rng(length)
    return Document(
        input_ids=generator.integers(0, config.vocab_size, length),
        token_type_ids=(np.arange(length) >= length // 3).astype(np.int64) * min(1, config.type_vocab_size - 1),
    )


def pad_batch(documents: list[Document], length: int) -> Batch:
    """Pad documents on the right with zeros to `[documents, length]`."""

    def padded(row_of: Callable[[Document], npt.NDArray[np.int64]]) -> npt.NDArray[np.int64]:
        rows = np.zeros((len(documents), length), dtype=np.int64)
        for row, document in zip(rows, documents, strict=True):
            values = row_of(document)
            row[: len(values)] = values
        return rows

    return Batch(
        input_ids=padded(lambda document: document.input_ids),
        attention_mask=padded(lambda document: np.ones_like(document.input_ids)),
        token_type_ids=padded(lambda document: document.token_type_ids),
    )
