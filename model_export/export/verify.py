"""Compare a bucket of a graph with the model that it was traced from, before anybody is served by it.

The reference for a document is the torch model on that document *alone* (`references`). The graph gets several
documents in one batch, padded to the bucket. So the comparison covers the tracing, the session that will serve, and the
promise that neither bucket nor batch changes a number.
"""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import numpy.typing as npt

from bigbird_inference.manifest import AttentionKernelName, CheckedWith, Parity, Precision
from bigbird_inference.runtime.session import Batch, Session
from bigbird_inference.tasks.signature import ANSWER_TYPE_OUTPUT
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.references import Arrays, Document, References, random_document

TOLERANCES: dict[Precision, float] = {"fp32": 1e-4, "fp16": 0.1, "bf16": 0.5, "int8": 1.0}
"""Largest difference that is let through: for fp32 absolute (for outputs whose standard deviation is at most 1, and in
proportion above), for the others in standard deviations of the outputs, as a guard against graphs that are broken."""

SMALLEST_CORRELATION = 0.95
# Fewer numbers correlate, or do not, by chance: a document has a single one, where a text gets a score.
_FEWEST_CORRELATED = 4

# A model can be so sharp that float32 itself is unsure of an output: torch is then far from float64, too. Graph and
# torch have such an error each, and neither is the largest that there can be.
_TIMES_UNCERTAIN = 4


class Verifier:
    """Compares buckets with the torch model.

    Args:
        references: Of the torch model.
        plans: The buckets of the bundle, ascending; they decide which documents each of them is compared on.
        precision: Of the graphs; the reference is always fp32.
        tolerance: Largest allowed difference (see `TOLERANCES`); None for the precision's own, which for fp32 is wider
            where torch in float32 is itself that far from torch in float64.
    """

    def __init__(
        self,
        references: References,
        plans: Sequence[BucketPlan],
        *,
        precision: Precision = "fp32",
        tolerance: float | None = None,
    ) -> None:
        self._references = references
        self._config = references.config
        self._lengths = document_lengths(plans, self._config)
        self._precision: Precision = precision
        self._tolerance = TOLERANCES[precision] if tolerance is None else tolerance
        self._asks_float64 = precision == "fp32" and tolerance is None

    def unanswered_lengths(self) -> list[int]:
        """Return the lengths of documents, the longest first, that torch is still to be asked about."""
        lengths = {length for own in self._lengths.values() for length in own}
        return sorted(lengths - self._references.known_lengths, reverse=True)

    def answer(self, length: int) -> None:
        """Ask torch about the document of a length, unless it has been; the first comparison would ask about all."""
        self._references.of(random_document(self._config, length))

    def compare(
        self,
        bucket: int,
        session: Session,
        kernel: AttentionKernelName = "composed",
        checked_with: CheckedWith = "onnxruntime",
    ) -> Parity:
        """Run the documents of a bucket through a session.

        Args:
            bucket: Its padded length.
            session: Of the graph, or what stands in for it.
            kernel: The graph's attention kernel; it is recorded.
            checked_with: What the session is; it is recorded.

        Raises:
            ExportError: The outputs differ by more than the tolerance, or are not finite.
        """
        lengths = self._lengths[bucket]
        documents = [random_document(self._config, length) for length in lengths]
        found, expected = self._run(documents, bucket, session), [self._references.of(each) for each in documents]
        differences, values, references = [], [], []
        for arrays, reference in zip(found, expected, strict=True):
            for name, array in reference.items():
                differences.append(np.abs(arrays[name][: len(array)] - array).ravel())
                values.append(arrays[name][: len(array)].ravel())
                references.append(array.ravel())
        difference, expected_values = np.concatenate(differences), np.concatenate(references)
        largest, tolerance = float(difference.max()), self._limit()
        if largest > tolerance and self._asks_float64:
            tolerance = max(tolerance, _TIMES_UNCERTAIN * self._references.uncertainty(documents))
        # Neither infinity nor what is not a number is let through, whatever the tolerance.
        if not (np.isfinite(largest) and largest <= tolerance):
            raise ExportError(
                f"bucket {bucket}: outputs differ from torch by {largest:.3g}, more than {tolerance:.3g} "
                "(another --tolerance lets them through; then measure the model on your task)"
            )
        correlation = _correlation(np.concatenate(values), expected_values)
        if correlation < SMALLEST_CORRELATION and len(expected_values) >= _FEWEST_CORRELATED:
            raise ExportError(f"bucket {bucket}: outputs correlate with torch's by {correlation:.3f} only")
        return Parity(
            attention_kernel=kernel,
            max_abs_difference=largest,
            mean_abs_difference=float(difference.mean(dtype=np.float64)),
            logits_std=self._spread,
            correlation=correlation,
            agreement=self._agreement(found, expected),
            tolerance=tolerance,
            documents=lengths,
            checked_with=checked_with,
        )

    def filled_batch(self, bucket: int) -> Batch:
        """Return a batch of one document that fills a bucket."""
        return self._references.batch([random_document(self._config, bucket)], bucket)

    @cached_property
    def _spread(self) -> float:
        """The standard deviation of the outputs for the documents of all buckets; those of one can be all but equal."""
        lengths = sorted({length for own in self._lengths.values() for length in own})
        references = [self._references.of(random_document(self._config, length)) for length in lengths]
        return float(np.concatenate([array.ravel() for arrays in references for array in arrays.values()]).std())

    def _limit(self) -> float:
        return self._tolerance * (max(1.0, self._spread) if self._precision == "fp32" else self._spread)

    def _run(self, documents: list[Document], length: int, session: Session) -> list[Arrays]:
        """Return each document's outputs: from one batch, or one by one where batches would change them."""
        batches = [[document] for document in documents] if self._precision == "int8" else [documents]
        outputs = [session.run(self._references.batch(batch, length)) for batch in batches]
        return [
            {name: array[row] for name, array in arrays.items()}
            for batch, arrays in zip(batches, outputs, strict=True)
            for row in range(len(batch))
        ]

    def _agreement(self, found: list[Arrays], expected: list[Arrays]) -> float | None:
        """Return the share of equal decisions, or None where outputs are not logits or have nothing to choose."""
        # Question answering chooses a token for the start and one for the end, everything else a label or a piece.
        chosen_along = {"logits": 0 if self._references.signature.task == "qa" else -1}
        chosen_along[ANSWER_TYPE_OUTPUT] = -1
        same = [
            (arrays[tensor.name][: len(reference[tensor.name])].argmax(axis) == reference[tensor.name].argmax(axis))
            for tensor in self._references.signature.outputs
            if (axis := chosen_along.get(tensor.name)) is not None and tensor.shape[-1] != 1
            for arrays, reference in zip(found, expected, strict=True)
        ]
        return float(np.concatenate([own.ravel() for own in same]).mean()) if same else None


def _correlation(left: npt.NDArray[np.float32], right: npt.NDArray[np.float32]) -> float:
    """Return Pearson's correlation; numbers that are all the same correlate if they agree, a single one always does."""
    if len(left) == 1:
        return 1.0
    first, second = (array.astype(np.float64) - array.mean(dtype=np.float64) for array in (left, right))
    scale = float(np.sqrt((first @ first) * (second @ second)))
    if scale == 0:
        return 1.0 if np.allclose(left, right) else 0.0
    return float(np.clip(first @ second / scale, -1, 1))


def document_lengths(plans: Sequence[BucketPlan], config: BigBirdConfig) -> dict[int, list[int]]:
    """Return the lengths in tokens that each bucket is compared on, so that most references serve several buckets.

    Each bucket gets a document that fills it, and one at a block edge that fills a bucket about half as long. Once for
    each kind of attention, in a short bucket, come the shortest document and both sides of an inner block edge.

    Args:
        plans: The buckets, ascending.
        config: The model's configuration.
    """
    lengths: dict[int, list[int]] = {}
    for attention, shortest in (("full", 1), ("block_sparse", config.full_attention_edge + 1)):
        buckets = [plan.length for plan in plans if plan.attention == attention]
        for number, bucket in enumerate(buckets):
            candidates = {buckets[number // 2], bucket}
            if number == min(1, len(buckets) - 1):
                edge = (shortest + bucket) // 2 // config.block_size * config.block_size
                candidates |= {shortest, edge - 1, edge + 1}
            lengths[bucket] = sorted(length for length in candidates if shortest <= length <= bucket)
    return lengths
