"""Vectors of texts that follow from given hidden states."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bigbird_inference.errors import InferenceFailed, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest
from bigbird_inference.tasks.embedding import MAX_TOKEN_NUMBERS, Embedding, EmbeddingRequest
from bigbird_inference.tokenization.tokenizer import Tokenizer
from tests.bigbird_inference.tokenization.documents import documents
from tests.fake_model import MODEL_CONFIG, graph_outputs

WIDTH = MODEL_CONFIG["hidden_size"]
LONG_TEXT = "Alice Smith leads the Acme project in New York. " * 10


@pytest.fixture(scope="module")
def embedding(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> Embedding:
    """A model of 64 tokens with 8 numbers for each, and a pooler."""
    return Embedding(make_manifest(task="embed"), tokenizer)


@pytest.fixture(scope="module")
def without_pooler(make_manifest: Callable[..., Manifest], tokenizer: Tokenizer) -> Embedding:
    hidden = [tensor for tensor in graph_outputs("embed") if tensor.name == "hidden"]
    return Embedding(make_manifest(task="embed", outputs=hidden), tokenizer)


def random_outputs(encoded: EncodedRequest[EmbeddingRequest], seed: int = 0) -> list[Outputs]:
    generator = np.random.default_rng(seed)
    return [
        {
            "hidden": generator.normal(0, 1, (len(window.sequence), WIDTH)).astype(np.float32),
            "pooled": generator.normal(0, 1, WIDTH).astype(np.float32),
        }
        for window in encoded.windows
    ]


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_a_short_text_is_pooled_as_asked(embedding: Embedding, pooling: Any) -> None:
    encoded = embedding.encode(EmbeddingRequest("Alice leads.", pooling=pooling, normalize=False))
    (outputs,) = random_outputs(encoded)
    expected = {
        "cls": outputs["hidden"][0],
        "mean": sum(outputs["hidden"]) / len(encoded.windows[0].sequence),  # [CLS] and [SEP] are among the tokens
        "pooler": outputs["pooled"],
    }[pooling]
    assert embedding.decode(encoded, [outputs]).embedding == pytest.approx(expected.tolist(), abs=1e-6)


def test_the_default_is_the_mean_scaled_to_length_1(embedding: Embedding) -> None:
    encoded = embedding.encode(EmbeddingRequest("Alice leads."))
    (outputs,) = random_outputs(encoded)
    mean = outputs["hidden"].mean(axis=0)
    found = embedding.decode(encoded, [outputs])
    assert found.embedding == pytest.approx((mean / np.sqrt((mean**2).sum())).tolist(), abs=1e-6)
    assert found.tokens is None


def test_a_vector_of_zeros_stays_one(embedding: Embedding) -> None:
    encoded = embedding.encode(EmbeddingRequest("Alice"))
    hidden = np.zeros((len(encoded.windows[0].sequence), WIDTH), np.float32)
    assert embedding.decode(encoded, [{"hidden": hidden}]).embedding == [0.0] * WIDTH


@pytest.mark.parametrize("pooling", ["cls", "mean", "pooler"])
def test_windows_count_by_their_text_tokens_and_are_normalised_together(embedding: Embedding, pooling: Any) -> None:
    encoded = embedding.encode(EmbeddingRequest(LONG_TEXT, pooling=pooling, window_stride=10))
    outputs = random_outputs(encoded)
    counts = [window.token_count for window in encoded.windows]
    assert len(counts) > 2 and len(set(counts)) == 2
    total = np.zeros(WIDTH)
    for count, own in zip(counts, outputs, strict=True):
        vector = {"cls": own["hidden"][0], "mean": own["hidden"].mean(axis=0), "pooler": own["pooled"]}[pooling]
        total += count * vector
    assert embedding.decode(encoded, outputs).embedding == pytest.approx(
        (total / np.sqrt((total**2).sum())).tolist(), abs=1e-6
    )


def test_every_token_has_its_hidden_state_and_its_characters(embedding: Embedding) -> None:
    text = "So  Alice, 😀!"
    encoded = embedding.encode(EmbeddingRequest(text, tokens=True))
    (outputs,) = random_outputs(encoded)
    found = embedding.decode(encoded, [outputs]).tokens
    assert found is not None and len(found) == len(encoded.tokens)
    for number, token in enumerate(found):
        assert token.vector == outputs["hidden"][number + 1].tolist()
        assert token.text == text[token.start : token.end]
    assert [token.text for token in found if token.text == "😀"] == ["😀"] * 4  # one for each byte


def test_a_token_of_two_windows_comes_from_the_one_where_it_has_more_context(embedding: Embedding) -> None:
    encoded = embedding.encode(EmbeddingRequest(LONG_TEXT, tokens=True, window_stride=10))
    outputs = [
        {"hidden": np.full((len(window.sequence), WIDTH), number, np.float32)}
        for number, window in enumerate(encoded.windows)
    ]
    found = embedding.decode(encoded, outputs).tokens
    assert found is not None
    # Windows of 62 tokens that share 10: the first five of those are farther from the earlier window's cut.
    assert [token.vector[0] for token in found[52:62]] == [0.0] * 5 + [1.0] * 5
    assert all(token.vector == [token.vector[0]] * WIDTH for token in found)


@pytest.mark.parametrize(("trained", "pooling"), [(None, "mean"), ("mean", "mean"), ("cls", "cls")])
def test_a_model_pools_as_it_was_trained_unless_a_request_asks_otherwise(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer, trained: Any, pooling: Any
) -> None:
    model = Embedding(make_manifest(task="embed", pooling=trained), tokenizer)
    unasked, asked, other = (
        model.encode(EmbeddingRequest("Alice leads.", pooling=wanted)) for wanted in (None, pooling, "pooler")
    )
    outputs = random_outputs(unasked)
    assert model.decode(unasked, outputs) == model.decode(asked, outputs) != model.decode(other, outputs)


def test_pooling_by_a_pooler_that_is_not_there_is_refused(without_pooler: Embedding) -> None:
    with pytest.raises(InvalidInput, match=r"^pooling is pooler, but .* without a pooler"):
        without_pooler.encode(EmbeddingRequest("Alice", pooling="pooler"))
    encoded = without_pooler.encode(EmbeddingRequest("Alice", pooling="cls"))
    assert len(without_pooler.decode(encoded, random_outputs(encoded)).embedding) == WIDTH


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        (EmbeddingRequest(" "), "^text is empty"),
        (EmbeddingRequest("\ud800"), "^text is not valid Unicode"),
        (EmbeddingRequest("Alice", window_stride=62), "^window_stride is 62"),
    ],
    ids=["a blank text", "a text that is not Unicode", "a stride of a whole window"],
)
def test_impossible_requests_are_refused(embedding: Embedding, request_: EmbeddingRequest, message: str) -> None:
    with pytest.raises(InvalidInput, match=message):
        embedding.encode(request_)


def test_more_token_vectors_than_can_be_returned_are_refused(
    make_manifest: Callable[..., Manifest], tokenizer: Tokenizer
) -> None:
    wide = Embedding(
        make_manifest(task="embed", model={**MODEL_CONFIG, "hidden_size": MAX_TOKEN_NUMBERS // 2}), tokenizer
    )
    fits = "project project"
    assert wide.encode(EmbeddingRequest(fits, tokens=True))
    with pytest.raises(InvalidInput, match=r"^tokens would be 3 vectors"):
        wide.encode(EmbeddingRequest("project project project", tokens=True))
    assert wide.encode(EmbeddingRequest("project project project"))


@pytest.mark.parametrize(
    "outputs",
    [
        {"pooled": np.zeros(WIDTH, np.float32)},
        {"hidden": np.zeros((3, WIDTH + 1), np.float32)},
        {"hidden": np.full((3, WIDTH), np.inf, np.float32)},
        {"hidden": np.zeros((2, WIDTH), np.float32)},
    ],
    ids=["no hidden states", "a number too many", "infinity", "a token too few"],
)
def test_unusable_outputs_fail_the_request(embedding: Embedding, outputs: dict[str, Any]) -> None:
    encoded = embedding.encode(EmbeddingRequest("project"))
    assert len(encoded.windows[0].sequence) == 3
    with pytest.raises(InferenceFailed):
        embedding.decode(encoded, [outputs])


@settings(max_examples=100, deadline=None)
@given(text=documents, stride=st.one_of(st.none(), st.integers(0, 50)), seed=st.integers(0, 2**32 - 1))
def test_any_document_has_one_vector_and_one_for_each_token(
    embedding: Embedding, text: str, stride: int | None, seed: int
) -> None:
    try:
        encoded = embedding.encode(EmbeddingRequest(text, tokens=True, window_stride=stride))
    except InvalidInput as error:
        assert error.detail in ("text is empty or only whitespace", "text has no visible characters")
        return
    answer = embedding.decode(encoded, random_outputs(encoded, seed))
    assert sum(number**2 for number in answer.embedding) == pytest.approx(1.0, abs=1e-5)
    assert answer.tokens is not None
    for token in answer.tokens:
        assert token.text == text[token.start : token.end]
        assert len(token.vector) == WIDTH
