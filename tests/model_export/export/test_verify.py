import copy
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbird_inference.manifest import Precision
from bigbird_inference.runtime.session import Batch, Outputs
from model_export.config import BigBirdConfig
from model_export.errors import ExportError
from model_export.export.buckets import BucketPlan
from model_export.export.references import Document, References, random_document
from model_export.export.signature import signature
from model_export.export.verify import Verifier, document_lengths
from model_export.nn.heads import HEADS
from model_export.nn.model import BigBird, build_model
from model_export.patterns.registry import get_pattern

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


PLANS = [BucketPlan(48, "full"), BucketPlan(112, "full"), BucketPlan(160, "block_sparse")]
CAUSAL_PLANS = [replace(plan, attention="full") for plan in PLANS]


def _verifier(model: BigBird, task: str = "ner") -> Verifier:
    plans = CAUSAL_PLANS if task == "generate" else PLANS
    return Verifier(References.of_model(model, signature(task, CONFIG)), plans)


@pytest.mark.parametrize("task", HEADS)
@pytest.mark.parametrize("bucket", [48, 112, 160], ids=["a short bucket", "the edge", "a block-sparse bucket"])
def test_a_faithful_session_passes_with_its_figures(task: str, bucket: int) -> None:
    model = _model(task)
    parity = _verifier(model, task).compare(bucket, TorchSession(model, task=task), "fused", "torch")
    assert (parity.attention_kernel, parity.checked_with) == ("fused", "torch")
    assert parity.mean_abs_difference <= parity.max_abs_difference <= 1e-5
    assert parity.logits_std > 0
    assert parity.tolerance == pytest.approx(1e-4 * max(1, parity.logits_std))
    plans = CAUSAL_PLANS if task == "generate" else PLANS
    assert parity.documents == document_lengths(plans, model.config)[bucket]


@pytest.mark.parametrize("task", HEADS)
def test_an_output_of_any_task_that_is_off_fails(task: str) -> None:
    model = _model(task)
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch by"):
        _verifier(model, task).compare(112, TorchSession(model, 0.1, task=task))


@pytest.mark.parametrize(
    ("error", "row"),
    [
        pytest.param(2e-4, slice(None), id="all logits are off"),
        pytest.param(-2e-4, -1, id="the last document is off"),
        pytest.param(2e-4, 0, id="the first document is off"),
        pytest.param(np.nan, 0, id="a document is not a number"),
        pytest.param(np.inf, -1, id="a document is infinite"),
    ],
)
def test_a_difference_beyond_the_tolerance_fails_with_the_bucket(error: float, row: int | slice) -> None:
    model = _model()
    with pytest.raises(ExportError, match=r"^bucket 160: outputs differ from torch by"):
        _verifier(model).compare(160, TorchSession(model, error, row))


def test_a_single_wrong_position_is_enough() -> None:
    model = _model()
    error = np.zeros((160, 3))
    error[112] = 1e-3
    with pytest.raises(ExportError, match="bucket 160"):
        _verifier(model).compare(160, TorchSession(model, error))


def test_the_tolerance_grows_with_logits_that_are_spread_wider_than_one() -> None:
    model = _model()
    with torch.no_grad():
        for parameter in model.head.parameters():
            parameter *= 100
    verifier = _verifier(model)
    parity = verifier.compare(112, TorchSession(model))
    assert parity.logits_std > 2
    assert parity.tolerance == pytest.approx(1e-4 * parity.logits_std)


def _plans(full: list[int], block_sparse: list[int]) -> list[BucketPlan]:
    return [BucketPlan(n, "full") for n in full] + [BucketPlan(n, "block_sparse") for n in block_sparse]


def test_the_documents_of_each_bucket_are_written_out_for_a_small_model() -> None:
    """Blocks of 16 and an edge of 112: 16 is the block edge below the middle of 1 and 48, 128 that of 113 and 144."""
    plans = _plans([16, 48, 64, 112], [128, 144, 160])
    assert document_lengths(plans, CONFIG) == {
        16: [16],
        48: [1, 15, 16, 17, 48],
        64: [48, 64],
        112: [48, 112],
        128: [128],
        144: [113, 127, 128, 129, 144],
        160: [144, 160],
    }


def test_a_single_bucket_of_a_kind_has_the_shortest_document_and_both_sides_of_an_edge_too() -> None:
    assert document_lengths(_plans([112], [160]), CONFIG) == {112: [1, 47, 49, 112], 160: [113, 127, 129, 160]}


@settings(derandomize=True, deadline=None)
@given(
    blocks=st.sets(st.integers(1, 40), min_size=1),
    random_blocks=st.integers(0, 3),
    block_size=st.sampled_from([1, 2, 16]),
)
def test_every_bucket_has_a_document_that_fills_it_and_only_documents_of_its_kind_that_it_holds(
    blocks: set[int], random_blocks: int, block_size: int
) -> None:
    config = replace(
        CONFIG, max_position_embeddings=40 * block_size, block_size=block_size, num_random_blocks=random_blocks
    )
    edge = config.full_attention_edge
    lengths = sorted({count * block_size for count in blocks} | {edge})
    documents = document_lengths(_plans([n for n in lengths if n <= edge], [n for n in lengths if n > edge]), config)
    assert list(documents) == lengths
    for bucket, own in documents.items():
        assert own == sorted(set(own))
        assert own[-1] == bucket
        assert own[0] > (edge if bucket > edge else 0)


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
        _verifier(model).compare(160, Unanchored())


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


BUCKET = 112


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
        Verifier(References.of_model(model, signature("ner", CONFIG)), PLANS, tolerance=1e-4).compare(
            BUCKET, Float64Session(model)
        )


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


def test_a_document_is_computed_once_however_many_buckets_and_precisions_are_compared_with_it() -> None:
    model = _model()
    references = References.of_model(model, signature("ner", CONFIG))
    asked: list[tuple[int, ...]] = []
    model.register_forward_pre_hook(lambda module, inputs: asked.append(tuple(inputs[0].shape)))
    plans = _plans([112], [128, 144, 160])
    faithful = TorchSession(copy.deepcopy(model))
    faithful._model._forward_pre_hooks.clear()
    for precision in ("fp32", "int8"):
        verifier = Verifier(references, plans, precision=precision)
        for plan in plans:
            verifier.compare(plan.length, faithful)
    documents = {length for own in document_lengths(plans, CONFIG).values() for length in own}
    # Each alone, in as many whole blocks as it needs.
    assert sorted(asked) == sorted((1, -(-length // 16) * 16) for length in documents)


def test_a_reference_is_what_torch_says_of_the_document_alone() -> None:
    model = _model()
    document: Document = random_document(CONFIG, 121)
    found = References.of_model(model, signature("ner", CONFIG)).of(document)
    ids, mask, types = torch.zeros(3, 1, 128, dtype=torch.int64)
    ids[0, :121], types[0, :121] = torch.from_numpy(document.input_ids), torch.from_numpy(document.token_type_ids)
    mask[0, :121] = 1
    with torch.inference_mode():
        expected = model(ids, mask, types)[0, :121].numpy()
    assert found.keys() == {"logits"}
    assert np.array_equal(found["logits"], expected)


SCORES = {"fp32": 0.9e-4, "int8": 0.9, "fp16": 0.09, "bf16": 0.45}


@pytest.mark.parametrize("precision", SCORES)
def test_a_score_for_a_text_is_measured_by_the_spread_over_all_documents(precision: Precision) -> None:
    """The first bucket has a single document, with a single number, which alone has no spread at all."""
    model = _model("multiple-choice")
    references = References.of_model(model, signature("multiple-choice", CONFIG))
    plans = _plans([16, 48, 112], [160])
    lengths = sorted({length for own in document_lengths(plans, CONFIG).values() for length in own})
    scores = np.concatenate([references.of(random_document(CONFIG, length))["logits"] for length in lengths])
    scale = max(1.0, float(scores.std())) if precision == "fp32" else float(scores.std())
    verifier = Verifier(references, plans, precision=precision, tolerance=None if precision != "fp32" else 1e-4)
    error = SCORES[precision] * scale
    parity = verifier.compare(16, TorchSession(model, error, task="multiple-choice"))
    assert parity.documents == [16]
    assert (parity.logits_std, parity.correlation) == (pytest.approx(float(scores.std())), 1.0)
    assert parity.max_abs_difference == pytest.approx(error, rel=1e-2)
    with pytest.raises(ExportError, match=r"^bucket 16: outputs differ from torch by"):
        verifier.compare(16, TorchSession(model, 1.3 * error, task="multiple-choice"))


def test_scores_that_do_not_follow_those_of_torch_are_refused_where_there_are_enough_of_them() -> None:
    """The others' order is turned round, which a tolerance of ten standard deviations lets through."""
    model = _model("multiple-choice")
    references = References.of_model(model, signature("multiple-choice", CONFIG))
    verifier = Verifier(references, _plans([112], []), precision="int8", tolerance=10.0)

    class Opposite(TorchSession):
        def run(self, batch: Batch) -> Outputs:
            return {"logits": -super().run(batch)["logits"]}

    with pytest.raises(ExportError, match=r"^bucket 112: outputs correlate with torch's by -1.000 only"):
        verifier.compare(112, Opposite(model, task="multiple-choice"))
