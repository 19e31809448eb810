"""Compare a bucket's graph with the model it was traced from, before anybody is served by it.

The reference for a document is the torch model on that document *alone*, padded only to whole blocks. The graph
gets all documents in one batch, padded to the bucket. So the comparison covers the tracing, the session that will
serve, and the promise that neither bucket nor batch changes a number.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.signature import Signature
from model_export.export.torch_session import TorchSession
from model_export.nn.heads import QuestionAnsweringHead
from model_export.nn.model import BigBird
from service.bundle import CheckedWith, Parity, Precision
from service.runtime.session import Batch, Session

TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 0.1, "bf16": 0.5, "int8": 1.0}
"""Largest difference that is let through: for fp32 absolute (for outputs whose standard deviation is at most 1, and in
proportion above), for the others in standard deviations of the outputs, as a guard against graphs that are broken."""

SMALLEST_CORRELATION = 0.95

# A model can be so sharp that float32 itself is unsure of an output: torch is then far from float64, too. Graph and
# torch have such an error each, and neither is the largest that there can be.
_TIMES_UNCERTAIN = 4

# Positions at which a language model is asked about a document, at most.
_POSITIONS = 8

Arrays = dict[str, npt.NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Document:
    """A random model input: int64 `[length]` each, and int64 `[positions]` where the model takes positions."""

    input_ids: npt.NDArray[np.int64]
    token_type_ids: npt.NDArray[np.int64]
    positions: npt.NDArray[np.int64]


class Verifier:
    """Compares buckets with the torch model; the reference runs of a length are kept for the next bucket.

    Args:
        model: The traced model, in evaluation mode.
        signature: Inputs and outputs of its graphs.
        precision: Of the graphs; the reference is always fp32.
        tolerance: Largest allowed difference (see `TOLERANCES`); None for the precision's own, which for fp32 is wider
            where torch in float32 is itself that far from torch in float64.
    """

    def __init__(
        self, model: BigBird, signature: Signature, *, precision: Precision = "fp32", tolerance: float | None = None
    ) -> None:
        self._model = model
        self._torch = TorchSession(model, signature)
        self._config = model.config
        self._signature = signature
        self._precision: Precision = precision
        self._tolerance = TOLERANCES[precision] if tolerance is None else tolerance
        self._asks_float64 = precision == "fp32" and tolerance is None
        self._references: dict[int, Arrays] = {}

    def compare(self, bucket: BucketPlan, session: Session, checked_with: CheckedWith = "onnxruntime") -> Parity:
        """Run the documents of a bucket through its session.

        Args:
            bucket: The bucket.
            session: Its graph, or what stands in for it.
            checked_with: What the session is; it is recorded.

        Raises:
            ExportError: The outputs differ by more than the tolerance, or are not finite.
        """
        lengths = document_lengths(bucket, self._config)
        documents = [random_document(self._config, length) for length in lengths]
        found, expected = self._run(documents, bucket.length, session), [self._reference(each) for each in documents]
        differences, values, references = [], [], []
        for arrays, reference in zip(found, expected, strict=True):
            for name, array in reference.items():
                differences.append(np.abs(arrays[name][: len(array)] - array).ravel())
                values.append(arrays[name][: len(array)].ravel())
                references.append(array.ravel())
        difference, spread = np.concatenate(differences), float(np.concatenate(references).std())
        largest, tolerance = float(difference.max()), self._limit(spread)
        if largest > tolerance and self._asks_float64:
            tolerance = max(tolerance, _TIMES_UNCERTAIN * self._uncertainty(documents))
        # Neither infinity nor what is no number is let through, whatever the tolerance.
        if not (np.isfinite(largest) and largest <= tolerance):
            raise ExportError(
                f"bucket {bucket.length}: outputs differ from torch by {largest:.3g}, more than {tolerance:.3g} "
                "(another --tolerance lets them through; then measure the model on your task)"
            )
        correlation = _correlation(np.concatenate(values), np.concatenate(references))
        if correlation < SMALLEST_CORRELATION:
            raise ExportError(f"bucket {bucket.length}: outputs correlate with torch's by {correlation:.3f} only")
        return Parity(
            max_abs_difference=largest,
            mean_abs_difference=float(difference.mean(dtype=np.float64)),
            logits_std=spread,
            correlation=correlation,
            agreement=self._agreement(found, expected),
            tolerance=tolerance,
            documents=lengths,
            checked_with=checked_with,
        )

    def _limit(self, spread: float) -> float:
        return self._tolerance * (max(1.0, spread) if self._precision == "fp32" else spread)

    def _uncertainty(self, documents: list[Document]) -> float:
        """Return the largest difference between torch in float32 and in float64."""
        exact = TorchSession(copy.deepcopy(self._model).double(), self._signature)
        return max(
            float(np.abs(array - self._alone(exact, document)[name]).max())
            for document in documents
            for name, array in self._reference(document).items()
        )

    def _run(self, documents: list[Document], length: int, session: Session) -> list[Arrays]:
        """Return each document's outputs: from one batch, or one by one where batches would change them."""
        batches = [[document] for document in documents] if self._precision == "int8" else [documents]
        outputs = [session.run(self._batch(batch, length)) for batch in batches]
        return [
            {name: array[row] for name, array in arrays.items()}
            for batch, arrays in zip(batches, outputs, strict=True)
            for row in range(len(batch))
        ]

    def _agreement(self, found: list[Arrays], expected: list[Arrays]) -> float | None:
        """Return the share of equal decisions, or None where outputs are no logits or have nothing to choose."""
        logits = next((tensor for tensor in self._signature.outputs if tensor.name == "logits"), None)
        if logits is None or logits.shape[-1] == 1:
            return None
        # Question answering chooses a token for the start and one for the end, everything else a label or a piece.
        axis = 0 if isinstance(self._model.head, QuestionAnsweringHead) else -1
        same = [
            (arrays["logits"][: len(reference["logits"])].argmax(axis) == reference["logits"].argmax(axis)).ravel()
            for arrays, reference in zip(found, expected, strict=True)
        ]
        return float(np.concatenate(same).mean())

    def largest_batch(self, bucket: BucketPlan) -> Batch:
        """Return a batch of one document that fills the bucket."""
        return self._batch([random_document(self._config, bucket.length)], bucket.length)

    def _batch(self, documents: list[Document], length: int) -> Batch:
        return pad_batch(documents, length, with_positions=self._signature.takes_positions)

    def _reference(self, document: Document) -> Arrays:
        """Return the torch model's outputs for a document alone, cut to its length or its positions."""
        length = len(document.input_ids)
        if length not in self._references:
            self._references[length] = self._alone(self._torch, document)
        return self._references[length]

    def _alone(self, session: TorchSession, document: Document) -> Arrays:
        length, block_size = len(document.input_ids), self._config.block_size
        alone = min(-(-length // block_size) * block_size, self._config.max_length)
        outputs = session.run(self._batch([document], alone))
        rows = len(document.positions) if self._signature.takes_positions else length
        return {name: array[0][:rows] if array.ndim == 3 else array[0] for name, array in outputs.items()}


def _correlation(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> float:
    """Return Pearson's correlation; numbers that are all the same correlate if they agree."""
    first, second = (array.astype(np.float64) - array.mean(dtype=np.float64) for array in (left, right))
    scale = float(np.sqrt((first @ first) * (second @ second)))
    if scale == 0:
        return 1.0 if np.allclose(left, right) else 0.0
    return float(np.clip(first @ second / scale, -1, 1))


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
        # The last token is among them: it is where a text is continued.
        positions=np.unique(np.linspace(0, length - 1, _POSITIONS).astype(np.int64)),
    )


def pad_batch(documents: list[Document], length: int, *, with_positions: bool = False) -> Batch:
    """Pad documents on the right with zeros to `[documents, length]`, positions to the most of any document."""
    most_positions = max(len(document.positions) for document in documents)

    def padded(row_of: Callable[[Document], npt.NDArray[np.int64]], width: int = length) -> npt.NDArray[np.int64]:
        rows = np.zeros((len(documents), width), dtype=np.int64)
        for row, document in zip(rows, documents, strict=True):
            values = row_of(document)
            row[: len(values)] = values
        return rows

    return Batch(
        input_ids=padded(lambda document: document.input_ids),
        attention_mask=padded(lambda document: np.ones_like(document.input_ids)),
        token_type_ids=padded(lambda document: document.token_type_ids),
        positions=padded(lambda document: document.positions, most_positions) if with_positions else None,
    )
