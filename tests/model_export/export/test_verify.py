import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch

from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.signature import signature
from model_export.export.verify import Verifier, document_lengths
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern
from service.runtime.session import Batch, Outputs

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
    """Runs the torch model itself, and then spoils its first output."""

    def __init__(self, model: BigBird, error: npt.ArrayLike = 0.0, row: int | slice = slice(None), task: str = "ner"):
        self._model = model
        self._error = error
        self._row = row
        self._signature = signature(task, CONFIG)

    def run(self, batch: Batch) -> Outputs:
        feeds = [torch.from_numpy(getattr(batch, tensor.name)) for tensor in self._signature.inputs]
        with torch.inference_mode():
            results = self._model(*feeds)
        results = results if isinstance(results, tuple) else (results,)
        names = [tensor.name for tensor in self._signature.outputs]
        outputs = {name: result.numpy() for name, result in zip(names, results, strict=True)}
        outputs[names[0]][self._row] += np.asarray(self._error, dtype=np.float32)
        return outputs


def _model(task: str = "ner") -> BigBird:
    torch.manual_seed(1)
    config = replace(CONFIG, is_decoder=True) if task == "generate" else CONFIG
    return build_model(config, task, get_pattern("transformers")).eval()


def _verifier(model: BigBird, task: str = "ner") -> Verifier:
    return Verifier(model, signature(task, CONFIG))


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize(
    "bucket",
    [BucketPlan(48, "full"), BucketPlan(112, "full"), BucketPlan(160, "block_sparse")],
    ids=["a short bucket", "the edge", "a block-sparse bucket"],
)
def test_a_faithful_session_passes_with_its_figures(task: str, bucket: BucketPlan) -> None:
    if task == "generate":
        bucket = replace(bucket, attention="full")
    model = _model(task)
    parity = _verifier(model, task).compare(bucket, TorchSession(model, task=task))
    assert parity.mean_abs_difference <= parity.max_abs_difference <= 1e-5
    assert parity.logits_std > 0
    assert parity.tolerance == pytest.approx(1e-4 * max(1, parity.logits_std))
    assert parity.documents == document_lengths(bucket, model.config)


@pytest.mark.parametrize("task", HEADS)
def test_an_output_of_any_task_that_is_off_fails(task: str) -> None:
    model = _model(task)
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch by"):
        _verifier(model, task).compare(BucketPlan(112, "full"), TorchSession(model, 0.1, task=task))


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
    with pytest.raises(ExportError, match=r"^bucket 160: outputs differ from torch by"):
        _verifier(model).compare(BucketPlan(160, "block_sparse"), TorchSession(model, error, row))


def test_a_single_wrong_position_is_enough() -> None:
    model = _model()
    error = np.zeros((160, 3))
    error[112] = 1e-3
    with pytest.raises(ExportError, match="bucket 160"):
        _verifier(model).compare(BucketPlan(160, "block_sparse"), TorchSession(model, error))


def test_the_tolerance_grows_with_logits_that_are_spread_wider_than_one() -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter *= 100
    verifier = _verifier(model)
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
        def run(self, batch: Batch) -> Outputs:
            # All blocks count as the document's: its last block is the bucket's.
            everything = Batch(batch.input_ids, np.ones_like(batch.attention_mask), batch.token_type_ids)
            return unanchored.run(everything)

    with pytest.raises(ExportError, match="bucket 160"):
        _verifier(model).compare(BucketPlan(160, "block_sparse"), Unanchored())


class Float64Session(TorchSession):
    """Runs the torch model in float64: what the graph of a model would give if it made no error at all."""

    def run(self, batch: Batch) -> Outputs:
        exact = copy.deepcopy(self._model).double()
        outputs = TorchSession(exact, self._error, self._row).run(batch)
        return {name: array.astype(np.float32) for name, array in outputs.items()}


def _unsure_model() -> BigBird:
    """A model that makes much of differences which float32 hardly holds."""
    model = _model()
    with torch.no_grad():
        model.embeddings.position.weight.zero_()
        model.embeddings.token_type.weight.zero_()
        model.embeddings.word.weight.mul_(1e-5).add_(1)
    return model


BUCKET = BucketPlan(112, "full")


def test_a_model_that_float32_is_unsure_of_may_differ_as_much_as_torch_does() -> None:
    model = _unsure_model()
    parity = _verifier(model).compare(BUCKET, Float64Session(model))
    assert parity.max_abs_difference > 1e-4 * max(1, parity.logits_std)
    # The session is exact, so that what it differs by is torch's own error.
    assert parity.tolerance == pytest.approx(4 * parity.max_abs_difference, rel=1e-2)
    _verifier(model).compare(BUCKET, Float64Session(model, 2 * parity.max_abs_difference))
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch by .* --tolerance"):
        _verifier(model).compare(BUCKET, Float64Session(model, 6 * parity.max_abs_difference))


def test_a_tolerance_that_was_asked_for_holds_for_every_model() -> None:
    model = _unsure_model()
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch by .*"):
        Verifier(model, signature("ner", CONFIG), tolerance=1e-4).compare(BUCKET, Float64Session(model))


@pytest.mark.filterwarnings("ignore:(overflow|invalid value) encountered:RuntimeWarning")
def test_an_output_that_overflows_float32_is_never_let_through() -> None:
    model = _model()
    with torch.no_grad():
        for weight in model.head.parameters():
            weight.zero_()
            if weight.ndim == 2:
                weight[:, 0] = 3e38
    # In float64 these outputs are numbers, so that torch is infinitely far from itself.
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch by (inf|nan)"):
        _verifier(model).compare(BUCKET, ZeroSession(model))


class ZeroSession(TorchSession):
    """Gives zeros."""

    def run(self, batch: Batch) -> Outputs:
        return {name: np.zeros_like(array) for name, array in super().run(batch).items()}
