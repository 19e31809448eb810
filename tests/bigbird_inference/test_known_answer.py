"""The known answer, asked again: what must stop a model from being served, and what must not."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bigbird_inference.errors import BundleError
from bigbird_inference.known_answer import (
    check_known_answer,
    describe_outputs,
    known_answer_batch,
    run_unasked_ends,
)
from bigbird_inference.manifest import KnownAnswer, KnownOutput, KnownRun, Manifest, Tensor
from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from bigbird_inference.tokenization.tokenizer import check_known_tokens
from tests.fake_model import fake_bucket, fake_graph, fake_manifest

LENGTH, BUCKET = 7, 16


class Recorded:
    """Answers with given outputs, and remembers what it was asked."""

    def __init__(self, **outputs: np.ndarray) -> None:
        self.outputs = outputs
        self.asked: list[Batch] = []

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.asked.append(batch)
        return self.outputs


def logits() -> np.ndarray:
    """Two numbers for each of the 16 positions; those of padding are large."""
    values = np.arange(32, dtype=np.float32).reshape(1, BUCKET, 2)
    values[:, LENGTH:] = 1e6
    return values


# Of the 14 numbers 0 to 13: all of them, since there are no more than 16; the mean and the spread by hand.
EXPECTED = KnownOutput("logits", [float(number) for number in range(14)], 6.5, (195 / 12) ** 0.5)


@pytest.fixture
def manifest() -> Manifest:
    known = KnownAnswer("text", [5, 6, 7], [KnownRun(LENGTH, BUCKET, [EXPECTED], tolerance=0.01)])
    outputs = [Tensor("logits", "float32", ["batch", "length", 2])]
    return replace(fake_manifest("ner"), outputs=outputs, known_answer=known)


def with_expected(manifest: Manifest, expected: list[KnownOutput]) -> Manifest:
    """Return the manifest with another expectation of its only run."""
    known = manifest.known_answer
    assert known is not None
    (run,) = known.runs
    return replace(manifest, known_answer=replace(known, runs=[replace(run, expected=expected)]))


class Sums:
    """Answers the sum of a sequence's ids, times a factor that tells graphs apart."""

    def __init__(self, factor: float) -> None:
        self.factor = factor
        self.asked: list[tuple[int, ...]] = []

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        self.asked.append(batch.input_ids.shape)
        return {"logits": np.float32([[(batch.input_ids * batch.attention_mask).sum() * self.factor]])}


@pytest.fixture
def two_graphs() -> Manifest:
    """Buckets 8 and 88 with full attention, 128 with block-sparse, each asked; the block-sparse sums are doubled."""

    def run(length: int, bucket: int, value: float) -> KnownRun:
        return KnownRun(length, bucket, [KnownOutput("logits", [value], value, 0.0)], tolerance=0.01)

    # CLS 1 and SEP 2, and between them 5 and 7 in turn: six tokens are 36, 83 are 42 fives and 41 sevens.
    runs = [run(8, 8, 39.0), run(85, 88, 500.0), run(85, 128, 1000.0)]
    return replace(
        fake_manifest("classify"),
        outputs=[Tensor("logits", "float32", ["batch", 1])],
        graphs=[fake_graph(88), fake_graph(128, "block_sparse")],
        buckets=[fake_bucket(8), fake_bucket(88), fake_bucket(128, "block_sparse")],
        known_answer=KnownAnswer("text", [5, 7], runs),
    )


def test_each_graph_is_asked_in_its_own_buckets(two_graphs: Manifest) -> None:
    full, block_sparse = Sums(1.0), Sums(2.0)
    check_known_answer(two_graphs, {"full": full, "block_sparse": block_sparse})
    assert full.asked == [(1, 8), (1, 88)]
    assert block_sparse.asked == [(1, 128)]


@pytest.mark.parametrize(
    ("full", "block_sparse", "bucket"),
    [
        pytest.param(1.01, 2.0, 8, id="the full graph"),
        pytest.param(1.0, 2.01, 128, id="the block-sparse graph"),
    ],
)
def test_one_graph_that_answers_otherwise_is_enough_and_its_bucket_is_named(
    two_graphs: Manifest, full: float, block_sparse: float, bucket: int
) -> None:
    with pytest.raises(BundleError, match=rf"\(bucket {bucket}, fp32\) is not reproduced"):
        check_known_answer(two_graphs, {"full": Sums(full), "block_sparse": Sums(block_sparse)})


def test_the_same_numbers_pass_and_the_question_is_the_recorded_one(manifest: Manifest) -> None:
    session = Recorded(logits=logits())
    check_known_answer(manifest, {"full": session})
    (batch,) = session.asked
    # CLS 1, the three tokens as often as they fit, SEP 2, padding 0.
    assert batch.input_ids.tolist() == [[1, 5, 6, 7, 5, 6, 2] + [0] * 9]
    assert batch.attention_mask.tolist() == [[1] * 7 + [0] * 9]
    assert batch.token_type_ids.tolist() == [[0] * 16]
    assert batch.positions is None


def test_numbers_within_the_tolerance_pass(manifest: Manifest) -> None:
    check_known_answer(manifest, {"full": Recorded(logits=logits() + np.float32(0.009))})


def _all_off(values: np.ndarray) -> None:
    values += np.float32(0.011)


def _one_off(values: np.ndarray) -> None:
    values[0, 6, 1] += np.float32(0.02)


def _exchanged(values: np.ndarray) -> None:
    values[0, :LENGTH] = values[0, :LENGTH, ::-1].copy()


def _no_number(values: np.ndarray) -> None:
    values[0, 3, 1] = np.nan


def _infinite(values: np.ndarray) -> None:
    values[0, 3, 1] = np.inf


def _no_number_in_padding(values: np.ndarray) -> None:
    values[0, -1, 0] = np.nan


def _overflow(values: np.ndarray) -> None:
    values[0, :LENGTH] = np.float32(3e38)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        pytest.param(_all_off, "value 1 of logits is 0.011, expected 0 within 0.01", id="everything a little off"),
        pytest.param(_one_off, "value 14 of logits is 13.02, expected 13 within 0.01", id="the last value off"),
        pytest.param(_exchanged, "value 1 of logits is 1, expected 0", id="labels exchanged"),
        pytest.param(_no_number, "logits is not finite", id="NaN"),
        pytest.param(_infinite, "logits is not finite", id="infinity"),
        pytest.param(_no_number_in_padding, "logits is not finite", id="NaN in the padding"),
        pytest.param(_overflow, "value 1 of logits is 3e+38", id="huge numbers"),
    ],
)
def test_other_numbers_are_refused_with_what_was_expected_and_measured(
    manifest: Manifest, spoil: Callable[[np.ndarray], None], said: str
) -> None:
    values = logits()
    spoil(values)
    with pytest.raises(BundleError) as refused:
        check_known_answer(manifest, {"full": Recorded(logits=values)})
    message = str(refused.value)
    assert said in message and "'checkpoint'" in message and "bucket 16, fp32" in message


def test_a_change_between_the_sampled_values_shows_in_mean_or_spread(manifest: Manifest) -> None:
    """200 labels: 16 values of 1,400 are compared one by one, all of them through their mean and their spread."""
    outputs = [Tensor("logits", "float32", ["batch", "length", 200])]
    values = np.random.default_rng(0).normal(size=(1, BUCKET, 200)).astype(np.float32)
    wide = replace(manifest, outputs=outputs)
    described = describe_outputs(wide, {"logits": values}, LENGTH)
    wide = with_expected(wide, described)
    check_known_answer(wide, {"full": Recorded(logits=values)})
    spoilt = values.copy()
    spoilt[0, 0, 10:90] *= -3  # the sampled ones are number 0, 93, 186, ...
    with pytest.raises(BundleError, match=r"the (mean|standard deviation) of logits"):
        check_known_answer(wide, {"full": Recorded(logits=spoilt)})


def test_another_number_of_values_is_a_difference(manifest: Manifest) -> None:
    fewer = replace(EXPECTED, values=EXPECTED.values[:3])
    other = with_expected(manifest, [fewer])
    with pytest.raises(BundleError, match="has 14 values to compare, expected 3"):
        check_known_answer(other, {"full": Recorded(logits=logits())})


def test_a_bundle_without_a_known_answer_is_not_run(manifest: Manifest) -> None:
    session = Recorded()
    check_known_answer(replace(manifest, known_answer=None), {"full": session})
    assert session.asked == []


def test_a_language_model_is_asked_from_the_first_position_to_the_last() -> None:
    batch = known_answer_batch(fake_manifest("fill-mask"), [5], 15, 16)
    assert batch.positions is not None
    assert batch.positions.tolist() == [[0, 2, 4, 6, 8, 10, 12, 14]]


def test_of_many_numbers_sixteen_stand_in_the_manifest_first_and_last_among_them() -> None:
    manifest = fake_manifest("embed")
    hidden = np.arange(16 * 8, dtype=np.float32).reshape(1, 16, 8)
    pooled = np.arange(8, dtype=np.float32)[np.newaxis]
    first, second = describe_outputs(manifest, {"hidden": hidden, "pooled": pooled}, 12)
    assert (first.output, second.output) == ("hidden", "pooled")
    assert len(first.values) == 16 and (first.values[0], first.values[-1]) == (0, 95)
    assert first.values == sorted(first.values)
    assert second.values == [0, 1, 2, 3, 4, 5, 6, 7]


@pytest.mark.parametrize(
    ("found", "said"),
    [
        pytest.param([5, 9, 7], "token 1 is 9, expected 6", id="another token"),
        pytest.param([5, 6], "token 2 is none, expected 7", id="a token less"),
        pytest.param([5, 6, 7, 8], "token 3 is 8, expected none", id="a token more"),
        pytest.param([], "token 0 is none, expected 5", id="no tokens"),
    ],
)
def test_another_tokenisation_is_refused_at_its_first_difference(found: list[int], said: str) -> None:
    check_known_tokens([5, 6, 7], [5, 6, 7])
    with pytest.raises(BundleError, match=said):
        check_known_tokens([5, 6, 7], found)


def test_a_bundle_whose_text_is_tokenised_differently_is_not_loaded(
    retyped_vocabulary: Any, make_manifest: Callable[..., Manifest]
) -> None:
    from bigbird_inference.bundle import Bundle
    from bigbird_inference.manifest import TokenizerFile
    from bigbird_inference.tokenization.tokenizer import Tokenizer
    from tests.vocabularies import open_tokenizer

    own = open_tokenizer(retyped_vocabulary)
    tokens = own.tokenize_without_positions("Zoë pays").ids.tolist()
    special = TokenizerFile(
        retyped_vocabulary.name, 1, "0" * 64, own.cls_id, own.sep_id, own.pad_id, own.mask_id, eos_id=None
    )

    def load(token_ids: list[int]) -> Tokenizer:
        known = KnownAnswer("Zoë pays", token_ids, [KnownRun(16, 64, [EXPECTED], 0.01)])
        return Tokenizer.from_bundle(
            Bundle(retyped_vocabulary.parent, make_manifest(tokenizer=special, known_answer=known))
        )

    load(tokens)
    with pytest.raises(BundleError, match=f"{retyped_vocabulary.name}: the text of the known answer is not tokenised"):
        load(tokens[::-1])


def test_ends_that_the_known_answer_does_not_ask_are_run_too(two_graphs: Manifest) -> None:
    """The known answer may ask for one bucket of three, or be missing."""
    known = two_graphs.known_answer
    assert known is not None
    for runs, asked in (
        (known.runs, ([], [])),
        (known.runs[1:2], ([(1, 8)], [(1, 128)])),
        ([], ([(1, 8), (1, 88)], [(1, 128)])),
    ):
        full, block_sparse = Sums(1.0), Sums(2.0)
        manifest = replace(two_graphs, known_answer=replace(known, runs=runs) if runs else None)
        run_unasked_ends(manifest, {"full": full, "block_sparse": block_sparse})
        assert (full.asked, block_sparse.asked) == asked


def test_another_shape_than_the_manifests_is_refused(manifest: Manifest) -> None:
    labels = [Tensor("logits", "float32", ["batch", "length", 3])]
    with pytest.raises(
        BundleError, match=r"logits of the shape \[1, 16, 2\] in a bucket of 16; the manifest says .* 3\]"
    ):
        check_known_answer(replace(manifest, outputs=labels), {"full": Recorded(logits=logits())})


def test_an_end_without_finite_numbers_is_refused(manifest: Manifest) -> None:
    session = Recorded(logits=np.full((1, 8, 2), np.nan, np.float32))
    with pytest.raises(BundleError, match="no answer in bucket 8: logits is not finite"):
        run_unasked_ends(manifest, {"full": session})
