import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.verify import Verifier, document_lengths
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from service.runtime.session import Batch

CONFIG = BigBirdConfig(
    vocab_size=40,
    hidden_size=12,
    num_hidden_layers=1,
    num_attention_heads=2,
    intermediate_size=12,
    max_position_embeddings=160,
    block_size=16,
    num_random_blocks=1,
    labels=("A", "B", "C"),
)


class TorchSession:
    """Runs the torch model itself, and then spoils its logits."""

    def __init__(self, model: BigBird, error: npt.ArrayLike = 0.0, row: int | slice = slice(None)) -> None:
        self._model = model
        self._error = error
        self._row = row

    def run(self, batch: Batch) -> npt.NDArray[np.float32]:
        with torch.inference_mode():
            logits = self._model(
                torch.from_numpy(batch.input_ids),
                torch.from_numpy(batch.attention_mask),
                torch.from_numpy(batch.token_type_ids),
            ).numpy()
        logits[self._row] += np.asarray(self._error, dtype=np.float32)
        return logits


def _model(task: str = "ner") -> BigBird:
    torch.manual_seed(1)
    return build_model(CONFIG, task, get_pattern("transformers")).eval()


@pytest.mark.parametrize(("task", "has_length_axis"), [("ner", True), ("qa", True), ("classify", False)])
@pytest.mark.parametrize(
    "bucket",
    [BucketPlan(48, "full"), BucketPlan(112, "full"), BucketPlan(160, "block_sparse")],
    ids=["a short bucket", "the edge", "a block-sparse bucket"],
)
def test_a_faithful_session_passes_with_its_figures(task: str, has_length_axis: bool, bucket: BucketPlan) -> None:
    model = _model(task)
    parity = Verifier(model, has_length_axis=has_length_axis).compare(bucket, TorchSession(model))
    assert parity.max_abs_difference <= 1e-5
    assert parity.logits_std > 0
    assert parity.tolerance == 1e-4
    assert parity.documents == document_lengths(bucket, CONFIG)


@pytest.mark.parametrize(
    ("error", "row"),
    [
        pytest.param(2e-4, slice(None), id="all logits are off"),
        pytest.param(-2e-4, -1, id="the last document is off"),
        pytest.param(2e-4, 0, id="the first document is off"),
        pytest.param(np.nan, 0, id="a document is no number"),
        pytest.param(np.inf, -1, id="a document is infinite"),
    ],
)
def test_a_difference_beyond_the_tolerance_fails_with_the_bucket(error: float, row: int | slice) -> None:
    model = _model()
    with pytest.raises(ExportError, match=r"^bucket 160: logits differ from torch by"):
        Verifier(model, has_length_axis=True).compare(BucketPlan(160, "block_sparse"), TorchSession(model, error, row))


def test_a_single_wrong_position_is_enough() -> None:
    model = _model()
    error = np.zeros((160, 3))
    error[112] = 1e-3
    with pytest.raises(ExportError, match="bucket 160"):
        Verifier(model, has_length_axis=True).compare(BucketPlan(160, "block_sparse"), TorchSession(model, error))


def test_the_tolerance_grows_with_logits_that_are_spread_wider_than_one() -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter *= 100
    verifier = Verifier(model, has_length_axis=True)
    parity = verifier.compare(BucketPlan(112, "full"), TorchSession(model))
    assert parity.logits_std > 2
    assert parity.tolerance == pytest.approx(1e-4 * parity.logits_std)


@pytest.mark.parametrize(
    ("bucket", "inside", "outside"),
    [
        pytest.param(BucketPlan(112, "full"), {1, 111, 112}, {0, 113}, id="full"),
        pytest.param(BucketPlan(160, "block_sparse"), {113, 159, 160}, {112, 161}, id="block-sparse"),
        pytest.param(BucketPlan(128, "block_sparse"), {113, 127, 128}, {112, 129}, id="first block-sparse"),
    ],
)
def test_the_documents_are_the_extremes_and_both_sides_of_a_block_edge(
    bucket: BucketPlan, inside: set[int], outside: set[int]
) -> None:
    lengths = document_lengths(bucket, CONFIG)
    assert lengths == sorted(set(lengths))
    assert inside <= set(lengths)
    assert not outside & set(lengths)
    if bucket.length != 128:
        assert any({edge - 1, edge, edge + 1} <= set(lengths) for edge in range(16, bucket.length, 16))


def test_documents_shorter_than_the_bucket_are_compared_so_that_anchoring_is_checked() -> None:
    """A session whose last block is the bucket's instead of the document's must fail."""
    model = _model()
    unanchored = TorchSession(model)

    class Unanchored:
        def run(self, batch: Batch) -> npt.NDArray[np.float32]:
            # All blocks count as the document's: its last block is the bucket's.
            everything = Batch(batch.input_ids, np.ones_like(batch.attention_mask), batch.token_type_ids)
            return unanchored.run(everything)

    with pytest.raises(ExportError, match="bucket 160"):
        Verifier(model, has_length_axis=True).compare(BucketPlan(160, "block_sparse"), Unanchored())
