"""Predictions for masks: which tokens, where, and how the text reads with them."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import BundleError, InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.mask_filling import MAX_MASKS, MaskFilling, MaskPrediction, MaskRequest, top_tokens
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.fake_model import MODEL_CONFIG, logits_only

VOCABULARY = MODEL_CONFIG["vocab_size"]
CLS, SEP, MASK = 1, 2, 3


@pytest.fixture(scope="module")
def mask_filling(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> MaskFilling:
    """A model of 64 tokens with more embedding rows than its vocabulary has pieces."""
    return MaskFilling(make_manifest(task="fill-mask"), tokenizer)


def probabilities(tokenizer: Tokenizer, **shares: Mapping[str, float]) -> Float32Array:
    """One row of logits for each mask: the shares of some pieces, the rest for the others together."""
    rows = np.full((len(shares), VOCABULARY), np.log(1e-9), dtype=np.float32)
    for row, pieces in zip(rows, shares.values(), strict=True):
        for piece, share in pieces.items():
            row[piece_id(tokenizer, piece)] = np.log(share)
    return rows


def piece_id(tokenizer: Tokenizer, piece: str) -> int:
    found = int(tokenizer.vocabulary.processor.piece_to_id(piece))
    assert found != tokenizer.vocabulary.unk_id, f"{piece} is not a piece"
    return found


def fill(task: MaskFilling, request: MaskRequest, logits: Float32Array) -> list[list[MaskPrediction]]:
    encoded = task.encode(request)
    return task.decode(encoded, logits_only([logits])).predictions


def test_the_mask_stands_where_its_string_does_and_its_position_is_told(mask_filling: MaskFilling) -> None:
    encoded = mask_filling.encode(MaskRequest("the [MASK] project [MASK]"))
    (window,) = encoded.windows
    the, project = (mask_filling.tokenizer.tokenize(word).ids.tolist() for word in ("the", "project"))
    assert window.sequence.input_ids.tolist() == [CLS, *the, MASK, *project, MASK, SEP]
    assert window.sequence.positions is not None
    assert window.sequence.positions.tolist() == [1 + len(the), 2 + len(the) + len(project)]
    assert window.sequence.positions.dtype == np.int64
    assert not window.sequence.token_type_ids.any()


def test_each_mask_gets_its_own_predictions_by_falling_score(mask_filling: MaskFilling, tokenizer: Tokenizer) -> None:
    logits = probabilities(tokenizer, first={"▁the": 0.3, "▁project": 0.6}, second={".": 0.8, "▁the": 0.1})
    first, second = fill(mask_filling, MaskRequest("[MASK] ends[MASK]", top_k=2), logits)
    assert [(entry.token, entry.token_id) for entry in first] == [
        ("project", piece_id(tokenizer, "▁project")),
        ("the", piece_id(tokenizer, "▁the")),
    ]
    assert [entry.token for entry in second] == [".", "the"]
    # The shares that were given make 0.9 of the whole, the others 1e-9 each.
    assert [entry.score for entry in first] == pytest.approx([0.6 / 0.9, 0.3 / 0.9], abs=1e-5)
    assert {(entry.start, entry.end) for entry in first} == {(0, 6)}
    assert {(entry.start, entry.end) for entry in second} == {(11, 17)}


@pytest.mark.parametrize(
    ("text", "piece", "expected"),
    [
        ("in [MASK] now", "▁project", "in project now"),
        ("in[MASK] now", "▁project", "in project now"),
        ("[MASK] now", "▁project", "project now"),
        ("in\n\n[MASK]", "▁project", "in\n\nproject"),
        ("the end [MASK]", ".", "the end."),
        ("the end[MASK] ", ".", "the end. "),
        ("é  [MASK]  é", "▁project", "é  project  é"),
    ],
    ids=[
        "a word in place of a word",
        "a word gets the space that it needs",
        "a word at the beginning needs none",
        "white space before a word stays",
        "what goes on with the word before takes the space away",
        "and leaves what follows",
        "nothing else of the text changes",
    ],
)
def test_the_filled_in_text_reads_as_the_tokens_do(
    mask_filling: MaskFilling, tokenizer: Tokenizer, text: str, piece: str, expected: str
) -> None:
    ((best,),) = fill(mask_filling, MaskRequest(text, top_k=1), probabilities(tokenizer, mask={piece: 0.9}))
    assert best.sequence == expected


def test_other_masks_stay_in_the_filled_in_text(mask_filling: MaskFilling, tokenizer: Tokenizer) -> None:
    logits = probabilities(tokenizer, first={"▁the": 0.9}, second={"▁project": 0.9})
    (first,), (second,) = fill(mask_filling, MaskRequest("so [MASK] and [MASK]", top_k=1), logits)
    assert (first.sequence, second.sequence) == ("so the and [MASK]", "so [MASK] and project")


def test_filled_in_texts_can_be_left_out(mask_filling: MaskFilling, tokenizer: Tokenizer) -> None:
    logits = probabilities(tokenizer, mask={"▁the": 0.9})
    ((best,),) = fill(mask_filling, MaskRequest("[MASK]", top_k=1, sequences=False), logits)
    assert (best.token, best.sequence) == ("the", None)


def test_embedding_rows_without_a_piece_are_never_predicted(mask_filling: MaskFilling, tokenizer: Tokenizer) -> None:
    pieces = len(tokenizer.vocabulary)
    assert pieces < VOCABULARY
    logits = np.zeros((1, VOCABULARY), dtype=np.float32)
    logits[0, pieces:] = 10.0
    (found,) = fill(mask_filling, MaskRequest("[MASK]", top_k=1000), logits)
    assert len(found) == pieces
    assert {entry.token_id for entry in found} == set(range(pieces))
    assert sum(entry.score for entry in found) < 0.01  # they keep their share of the probability


def test_special_pieces_can_be_predicted_and_read_as_their_names(
    mask_filling: MaskFilling, tokenizer: Tokenizer
) -> None:
    ((best,),) = fill(mask_filling, MaskRequest("a [MASK]", top_k=1), probabilities(tokenizer, mask={"[SEP]": 0.9}))
    assert (best.token, best.token_id, best.sequence) == ("[SEP]", SEP, "a[SEP]")


def test_another_string_can_be_the_mask_and_then_the_models_own_is_characters(mask_filling: MaskFilling) -> None:
    encoded = mask_filling.encode(MaskRequest("the [MASK] is ___ here", mask="___"))
    assert encoded.windows[0].sequence.positions is not None
    assert len(encoded.windows[0].sequence.positions) == 1
    assert encoded.tokens.ids.tolist().count(MASK) == 1
    (predictions,) = mask_filling.decode(encoded, logits_only([np.zeros((1, VOCABULARY), np.float32)])).predictions
    assert {(entry.start, entry.end) for entry in predictions} == {(14, 17)}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (MaskRequest("no hole"), r"^text has no mask in it; this model's mask is \[MASK\]$"),
        (MaskRequest("[mask]"), "^text has no mask"),
        (MaskRequest("[MASK]", mask="___"), "^text has no mask in it; the field mask"),
        (MaskRequest(" "), "^text has no mask"),
        (MaskRequest("a b", mask=" "), "^mask is empty or only whitespace"),
        (MaskRequest("a", mask=""), "^mask is empty"),
        (MaskRequest("[MASK]" * (MAX_MASKS + 1)), "^text has 33 masks; at most 32"),
        (MaskRequest("project " * 62 + "[MASK]"), "^text is too long: .* 65 tokens, the model at most 64"),
        (MaskRequest("[MASK] \ud800"), "^text is not valid Unicode"),
        (MaskRequest("[MASK]", mask="\udfff"), "^mask is not valid Unicode"),
        (MaskRequest("[MASK]" + " " * 1100, top_k=1000), "^sequences would repeat the text 1000 times"),
    ],
    ids=[
        "a text without a mask",
        "a mask in another spelling",
        "a text without the mask that was named",
        "a blank text",
        "a space as the mask",
        "nothing as the mask",
        "a mask too many",
        "a text longer than the model",
        "a text that is not Unicode",
        "a mask that is not Unicode",
        "a megabyte of filled-in texts",
    ],
)
def test_impossible_requests_are_refused(mask_filling: MaskFilling, request_: MaskRequest, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        mask_filling.encode(request_)


def test_a_text_that_just_fits_is_taken(mask_filling: MaskFilling) -> None:
    assert len(mask_filling.encode(MaskRequest("project " * 61 + "[MASK]")).windows[0].sequence) == 64
    assert mask_filling.encode(MaskRequest("[MASK]" + " " * 1100, top_k=1000, sequences=False))


@pytest.mark.parametrize(
    "outputs",
    [
        {"logits": np.zeros((2, VOCABULARY), np.float32)},
        {"logits": np.zeros((1, VOCABULARY - 1), np.float32)},
        {"logits": np.full((1, VOCABULARY), np.nan, np.float32)},
        {"hidden": np.zeros((1, VOCABULARY), np.float32)},
    ],
    ids=["a row too many", "a token too few", "not a number", "no logits"],
)
def test_unusable_outputs_fail_the_request(mask_filling: MaskFilling, outputs: dict[str, Any]) -> None:
    with pytest.raises(InferenceFailed):
        mask_filling.decode(mask_filling.encode(MaskRequest("[MASK]")), [outputs])


def test_a_bundle_without_a_mask_is_refused(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> None:
    manifest = make_manifest(task="fill-mask")
    with pytest.raises(BundleError, match="needs a mask_id"):
        MaskFilling(replace(manifest, tokenizer=replace(manifest.tokenizer, mask_id=None)), tokenizer)


@settings(deadline=None)
@given(parts=st.lists(documents.map(lambda text: text[:12]), min_size=2, max_size=4), seed=st.integers(0, 2**32 - 1))
def test_positions_and_texts_of_any_document(mask_filling: MaskFilling, parts: list[str], seed: int) -> None:
    text = "[MASK]".join(parts)
    try:
        encoded: EncodedRequest[MaskRequest] = mask_filling.encode(MaskRequest(text, top_k=3))
    except InvalidInput as error:
        assert error.detail.startswith("text is too long")
        return
    logits = np.random.default_rng(seed).normal(0, 3, (text.count("[MASK]"), VOCABULARY)).astype(np.float32)
    answer = mask_filling.decode(encoded, logits_only([logits]))
    places = [predictions[0].start for predictions in answer.predictions]
    assert places == sorted(set(places))
    for predictions in answer.predictions:
        for entry in predictions:
            assert text[entry.start : entry.end] == "[MASK]"
            assert entry.sequence is not None
            assert entry.sequence.endswith(entry.token + text[entry.end :])
            assert entry.sequence.startswith(text[: entry.start].rstrip())


def test_the_best_tokens_come_first_with_their_share_of_all_probability() -> None:
    logits = np.log(np.array([1.0, 5.0, 2.0, 2.0], dtype=np.float32))
    found = top_tokens(logits, 3, candidates=4)
    assert [token.token_id for token in found] == [1, 2, 3]
    assert [token.score for token in found] == pytest.approx([0.5, 0.2, 0.2], abs=1e-6)


def test_ids_that_cannot_be_returned_keep_their_share() -> None:
    logits = np.log(np.array([1.0, 3.0, 6.0], dtype=np.float32))
    (found,) = top_tokens(logits, 1, candidates=2)
    assert (found.token_id, found.score) == (1, pytest.approx(0.3, abs=1e-6))


def test_no_more_tokens_are_returned_than_there_are() -> None:
    assert [token.token_id for token in top_tokens(np.zeros(3, np.float32), 99, candidates=5)] == [0, 1, 2]


def test_extreme_logits_do_not_overflow() -> None:
    found = top_tokens(np.array([-3e38, 3e38, 0.0], np.float32), 3, candidates=3)
    assert [(token.token_id, token.score) for token in found] == [(1, 1.0), (2, 0.0), (0, 0.0)]


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=40), st.integers(1, 50), st.integers(1, 50))
def test_the_ranking_is_that_of_a_full_stable_sort(values: list[int], count: int, candidates: int) -> None:
    expected = sorted(range(min(candidates, len(values))), key=lambda token_id: (-values[token_id], token_id))[:count]
    found = top_tokens(np.array(values, np.float32), count, candidates)
    assert [token.token_id for token in found] == expected
    total = sum(np.exp(float(value)) for value in values)
    assert [token.score for token in found] == pytest.approx([np.exp(float(values[i])) / total for i in expected])
