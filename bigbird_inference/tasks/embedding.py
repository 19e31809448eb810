"""Embeddings: a text as one vector, and on request each of its tokens as one.

A document of several windows has one vector per window; they are averaged by the number of the text's tokens in each
window, and normalised once, after that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, ClassVar, Literal

import numpy as np
from pydantic import Field

from bigbird_inference.errors import InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import LeftOut, Listed, Operation, Text, WindowStride
from bigbird_inference.tasks.offset_units import End, Offsets, Start
from bigbird_inference.tasks.read_windows import ReadWindow, Windows, read_windows
from bigbird_inference.tasks.scores import Float64Array
from bigbird_inference.tasks.token_merging import merge_token_logits
from bigbird_inference.tokenization.encoded import Window
from bigbird_inference.tokenization.tokenizer import SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity

Pooling = Literal["cls", "mean", "pooler"]

MAX_TOKEN_NUMBERS = 2**22
"""Most numbers in the token vectors of one answer: 5,461 tokens of the base model."""


@dataclass(frozen=True, slots=True)
class EmbeddingRequest:
    """A text to embed, or a list of texts."""

    text: Annotated[
        Text,
        Field(
            description="The document, or a list. It may be longer than the model.",
            examples=["The survey of the northern bridges was led by Maria Okafor."],
        ),
        Listed(),
    ]
    pooling: Annotated[
        Pooling | None,
        Field(
            description="What the embedding is: the hidden state of `[CLS]`, the mean of the hidden states of all "
            "tokens with the special ones, or what the model's pooler makes of `[CLS]`, if it has one. When absent, "
            "what the model was trained with, if its checkpoint says so, and otherwise `mean`."
        ),
    ] = None
    normalize: Annotated[bool, Field(description="Whether the embedding is scaled to length 1.")] = True
    tokens: Annotated[
        bool, Field(description="Whether each token's vector is returned, too. For one text, not for a list.")
    ] = False
    window_stride: WindowStride = None
    offsets: Offsets = "code_points"
    windows: Windows = False


@dataclass(frozen=True, slots=True)
class TokenVector:
    """A token of the text, `text` being exactly its `[start:end]`, and its hidden state."""

    text: str
    start: Start
    end: End
    vector: Annotated[list[float], Field(description="As the model gives it, never normalised.")]


@dataclass(frozen=True, slots=True)
class EmbeddingAnswer:
    """The text as a vector."""

    embedding: list[float]
    dimension: int
    tokens: Annotated[
        list[TokenVector] | None, Field(description="Every token of the text, if `tokens` asked for them.")
    ]
    windows: Annotated[
        list[ReadWindow] | None,
        Field(description="The windows in the order of the text, if `windows` asked for them."),
        LeftOut(),
    ] = None


def default_pooling(manifest: Manifest) -> Pooling:
    """Return how a model pools where a request does not say."""
    return manifest.pooling or "mean"


class Embedding(Task[EmbeddingRequest, EmbeddingAnswer]):
    """The bare encoder, with or without a pooler."""

    operation = Operation(
        "embed",
        "Turn a document into a vector",
        "Return the text's embedding, and on request a vector for each of its tokens.",
        EmbeddingRequest,
        EmbeddingAnswer,
        one_text_only=frozenset({"tokens"}),
        located_in="text",
        schema={
            "if": {"properties": {"tokens": {"const": True}}, "required": ["tokens"]},
            "then": {"properties": {"text": {"type": "string"}}},
        },
    )

    needed_outputs: ClassVar[frozenset[str]] = frozenset({"hidden"})

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        self._width = manifest.model["hidden_size"]
        self._has_pooler = any(tensor.name == "pooled" for tensor in manifest.outputs)

    def encode(self, request: EmbeddingRequest) -> EncodedRequest[EmbeddingRequest]:
        """Cut the text into windows."""
        if request.pooling == "pooler" and not self._has_pooler:
            raise InvalidInput("pooling is pooler, but this model was exported from a checkpoint without a pooler")
        tokens = self.tokenize_field("text", request.text, positions=request.tokens or request.windows)
        if request.tokens and len(tokens) * self._width > MAX_TOKEN_NUMBERS:
            raise InvalidInput(
                f"tokens would be {len(tokens)} vectors of {self._width} numbers, and at most {MAX_TOKEN_NUMBERS} "
                "numbers are returned; send the text in parts"
            )
        capacity = window_capacity(self.manifest.max_length, SINGLE_SPECIAL_TOKENS, len(tokens))
        windows = [
            Window(self.tokenizer.single(tokens.ids[part.first : part.first + part.count]), 1, part.first, part.count)
            for part in plan_windows(len(tokens), capacity, request.window_stride)
        ]
        return EncodedRequest(request, tokens, windows)

    def decode(self, encoded: EncodedRequest[EmbeddingRequest], outputs: Sequence[Outputs]) -> EmbeddingAnswer:
        """Average the windows' vectors, and give each token the vector of the window where it has most context."""
        request = encoded.request
        weights = [window.token_count for window in encoded.windows]
        embedding = np.average(self._pool(encoded, outputs), axis=0, weights=weights)
        if request.normalize:
            embedding /= np.linalg.norm(embedding) or 1.0
        tokens = self._token_vectors(encoded, outputs) if request.tokens else None
        windows = read_windows(encoded.tokens, encoded.windows) if request.windows else None
        return EmbeddingAnswer(embedding.astype(np.float32).tolist(), len(embedding), tokens, windows)

    def _pool(self, encoded: EncodedRequest[EmbeddingRequest], outputs: Sequence[Outputs]) -> Float64Array:
        """Return one vector for each window, `[windows, hidden_size]`."""
        pooling = encoded.request.pooling or default_pooling(self.manifest)
        if pooling == "pooler":
            pooled = take_output(outputs, "pooled", [(self._width,)] * len(encoded.windows))
            return np.stack(pooled).astype(np.float64)
        hidden = take_output(outputs, "hidden", self._hidden_shapes(encoded))
        if pooling == "cls":
            return np.stack([array[0] for array in hidden]).astype(np.float64)
        return np.stack([array.mean(axis=0, dtype=np.float64) for array in hidden])

    def _token_vectors(
        self, encoded: EncodedRequest[EmbeddingRequest], outputs: Sequence[Outputs]
    ) -> list[TokenVector]:
        hidden = take_output(outputs, "hidden", self._hidden_shapes(encoded))
        vectors = merge_token_logits(encoded.windows, hidden, len(encoded.tokens))
        text, tokens = encoded.request.text, encoded.tokens
        spans = zip(tokens.starts.tolist(), tokens.ends.tolist(), vectors, strict=True)
        # One vector after the other: nothing else runs while numpy makes numbers of an array.
        return [TokenVector(text[start:end], start, end, vector.tolist()) for start, end, vector in spans]

    def _hidden_shapes(self, encoded: EncodedRequest[EmbeddingRequest]) -> list[tuple[int, int]]:
        return [(len(window.sequence), self._width) for window in encoded.windows]
