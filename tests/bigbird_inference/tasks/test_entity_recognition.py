"""Entities of whole documents: positions, windows, thresholds."""

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import BundleError, InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.entity_recognition import EntityRecognition, EntityRequest
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tasks.conftest import BIO_LABELS
from tests.bigbird_inference.tokenization.documents import documents
from tests.fake_model import logits_only

WIDTH = 5  # O, B-PER, I-PER, B-LOC, I-LOC


def outside(encoded: EncodedRequest[EntityRequest]) -> list[Float32Array]:
    arrays = [np.zeros((len(window.sequence), WIDTH), dtype=np.float32) for window in encoded.windows]
    for array in arrays:
        array[:, 0] = 5.0
    return arrays


def mark(
    encoded: EncodedRequest[EntityRequest], logits: list[Float32Array], name: str, begin: int, inside: int
) -> None:
    """Give the tokens of a name their labels in every window that holds them."""
    position = encoded.request.text.index(name)
    tokens = encoded.tokens
    own = [i for i in range(len(tokens)) if position <= tokens.starts[i] < tokens.ends[i] <= position + len(name)]
    for window, array in zip(encoded.windows, logits, strict=True):
        for token in own:
            if window.first_token <= token < window.first_token + window.token_count:
                array[window.text_offset + token - window.first_token, begin if token == own[0] else inside] = 9.0


@pytest.mark.parametrize("aggregation", ["simple", "first", "average", "max"])
def test_named_persons_and_places_are_found(entity_recognition: EntityRecognition, aggregation: str) -> None:
    text = "So  Alice Smith leads the project in New York ."
    encoded = entity_recognition.encode(EntityRequest(text, aggregation=aggregation))  # type: ignore[arg-type]
    logits = outside(encoded)
    mark(encoded, logits, "Alice Smith", 1, 2)
    mark(encoded, logits, "New York", 3, 4)
    found = entity_recognition.decode(encoded, logits_only(logits)).entities
    assert [(entity.entity, entity.text, entity.start, entity.end) for entity in found] == [
        ("PER", "Alice Smith", 4, 15),
        ("LOC", "New York", 37, 45),
    ]
    if aggregation == "simple":  # the mean over tokens that are all equally sure
        expected = np.exp(9.0) / (np.exp(9.0) + np.exp(5.0) + 3)
        assert [entity.score for entity in found] == pytest.approx([expected, expected])


def test_a_model_that_is_told_case_joins_words_unless_asked_otherwise(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer
) -> None:
    telling = Tokenizer(tokenizer.model_file, tokenizer.cls_id, tokenizer.sep_id, tokenizer.pad_id, token_types="case")
    text = "So Zyxwold leads"
    for told, aggregation, expected in [
        (telling, None, ["Zyxwold"]),
        (telling, "simple", ["Z"]),
        (tokenizer, None, ["Z"]),
        (tokenizer, "average", ["Zyxwold"]),
    ]:
        task = EntityRecognition(make_manifest(task="ner", labels=BIO_LABELS), told)
        encoded = task.encode(EntityRequest(text, aggregation=aggregation))  # type: ignore[arg-type]
        logits = outside(encoded)
        for token in np.flatnonzero((encoded.tokens.starts >= 3) & (encoded.tokens.ends <= 10)):
            logits[0][1 + token, 1] = 9.0 if encoded.tokens.ends[token] == 4 else 4.9
        found = task.decode(encoded, logits_only(logits)).entities
        assert [entity.text for entity in found] == expected


def test_entities_across_a_cut_are_whole(entity_recognition: EntityRecognition) -> None:
    words = ["project"] * 200
    words[60:60] = ["Alice", "Smith"]
    text = " ".join(words)
    for offset in range(0, 60, 7):
        shifted = " ".join(["a"] * offset + [text])
        encoded = entity_recognition.encode(EntityRequest(shifted, window_stride=4))
        assert len(encoded.windows) > 3
        logits = outside(encoded)
        mark(encoded, logits, "Alice Smith", 1, 2)
        (entity,) = entity_recognition.decode(encoded, logits_only(logits)).entities
        assert (entity.text, entity.start) == ("Alice Smith", shifted.index("Alice"))


def test_entities_below_the_threshold_are_left_out(entity_recognition: EntityRecognition) -> None:
    text = "Alice leads Acme in Paris"
    encoded = entity_recognition.encode(EntityRequest(text, threshold=0.95))
    logits = outside(encoded)
    mark(encoded, logits, "Alice", 1, 2)
    mark(encoded, logits, "Paris", 3, 4)
    start = encoded.tokens.starts.tolist().index(text.index("Paris"))
    logits[0][1 + start :, 0] = 8.0
    assert [entity.text for entity in entity_recognition.decode(encoded, logits_only(logits)).entities] == ["Alice"]


def test_an_emoji_of_four_byte_pieces_is_one_entity(entity_recognition: EntityRecognition) -> None:
    text = "from 😀 to Paris"
    encoded = entity_recognition.encode(EntityRequest(text, aggregation="first"))
    logits = outside(encoded)
    mark(encoded, logits, "😀", 1, 0)  # only the first byte piece is labelled
    (entity,) = entity_recognition.decode(encoded, logits_only(logits)).entities
    assert (entity.text, entity.start, entity.end) == ("😀", 5, 6)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    text=documents,
    aggregation=st.sampled_from(["none", "simple", "first", "average", "max"]),
    stride=st.one_of(st.none(), st.integers(0, 50)),
    seed=st.integers(0, 2**32 - 1),
)
def test_positions_of_any_document_mean_its_characters(
    entity_recognition: EntityRecognition, text: str, aggregation: str, stride: int | None, seed: int
) -> None:
    request = EntityRequest(text, aggregation=aggregation, window_stride=stride)  # type: ignore[arg-type]
    try:
        encoded = entity_recognition.encode(request)
    except InvalidInput as error:
        assert error.detail in ("text is empty or only whitespace", "text has no visible characters")
        return
    generator = np.random.default_rng(seed)
    logits = [generator.normal(0, 2, array.shape).astype(np.float32) for array in outside(encoded)]
    found = entity_recognition.decode(encoded, logits_only(logits)).entities
    for entity in found:
        assert 0 <= entity.start < entity.end <= len(text)
        assert entity.text == text[entity.start : entity.end] == entity.text.strip() != ""
        assert 0.0 < entity.score <= 1.0
    starts = [entity.start for entity in found]
    assert starts == sorted(starts)


def test_windows_hold_the_text_between_special_tokens(
    entity_recognition: EntityRecognition, tokenizer: Tokenizer
) -> None:
    text = "Alice Smith leads the Acme project in New York. " * 10
    ids = tokenizer.tokenize(text).ids.tolist()
    for window in entity_recognition.encode(EntityRequest(text)).windows:
        part = ids[window.first_token : window.first_token + window.token_count]
        assert window.sequence.input_ids.tolist() == [1, *part, 2]
        assert not window.sequence.token_type_ids.any()


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EntityRequest(""), "^text is empty"),
        (EntityRequest(" \r\n"), "^text is empty"),
        (EntityRequest("Alice \udc00"), "^text is not valid Unicode"),
        (EntityRequest("Alice", window_stride=100), "^window_stride is 100"),
    ],
    ids=["an empty text", "a blank text", "a text that is not Unicode", "a stride longer than a window"],
)
def test_impossible_requests_are_refused(
    entity_recognition: EntityRecognition, request_: EntityRequest, message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        entity_recognition.encode(request_)


def test_unusable_logits_fail_the_request(entity_recognition: EntityRecognition) -> None:
    encoded = entity_recognition.encode(EntityRequest("Alice"))
    logits = outside(encoded)
    logits[0][1, 1] = np.nan
    with pytest.raises(InferenceFailed):
        entity_recognition.decode(encoded, logits_only(logits))
    with pytest.raises(InferenceFailed):
        entity_recognition.decode(encoded, logits_only([outside(encoded)[0][:, :3]]))


def test_a_bundle_without_labels_is_refused(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> None:
    with pytest.raises(BundleError, match="labels"):
        EntityRecognition(make_manifest(task="ner"), tokenizer)
