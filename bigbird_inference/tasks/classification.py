"""Sequence classification: one document, or a pair of texts, to scored labels.

A document of several windows has one logit vector per window; they are averaged by the number of the text's tokens in
each window, and the function that turns logits into scores is applied once, to the average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from bigbird_inference.bundle import Manifest
from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.tasks.base import EncodedRequest, Outputs, Task, take_output
from bigbird_inference.tasks.scores import Float64Array, sigmoid, softmax
from bigbird_inference.tokenization.encoded import Int64Array, Window
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS, SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity

ScoreFunction = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """A text to classify, alone or together with a second one.

    Attributes:
        text: The document; it may be longer than the model.
        text_pair: A second text that stands whole in every window, or None.
        top_k: How many labels to return; None for all.
        function: How logits become scores; None for what the model was trained with.
        window_stride: Tokens shared by neighbouring windows; None for the default.
    """

    text: str
    text_pair: str | None = None
    top_k: int | None = None
    function: ScoreFunction | None = None
    window_stride: int | None = None


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassificationAnswer:
    """Labels by falling score; equal scores in the model's label order."""

    labels: list[LabelScore]


class Classification(Task[ClassificationRequest, ClassificationAnswer]):
    """Single-label, multi-label and regression models."""

    decodes_at_once = True

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        if not manifest.labels:
            raise BundleError("a classification bundle needs labels, and the manifest has none")

    def encode(self, request: ClassificationRequest) -> EncodedRequest[ClassificationRequest]:
        """Cut the text into windows, with the second text after each."""
        if request.top_k is not None and request.top_k < 1:
            raise InvalidInput("top_k must be at least 1")
        tokens = self.tokenize_field("text", request.text, positions=False)
        pair_ids = None
        if request.text_pair is not None:
            pair_ids = self.tokenize_field("text_pair", request.text_pair, positions=False).ids
        surrounding = SINGLE_SPECIAL_TOKENS if pair_ids is None else PAIR_SPECIAL_TOKENS + len(pair_ids)
        blame = None if pair_ids is None else "text_pair"
        capacity = window_capacity(self.manifest.max_length, surrounding, len(tokens), blame=blame)
        windows = [
            self._window(tokens.ids[part.first : part.first + part.count], pair_ids, part.first)
            for part in plan_windows(len(tokens), capacity, request.window_stride)
        ]
        return EncodedRequest(request, tokens, windows)

    def _window(self, text_ids: Int64Array, pair_ids: Int64Array | None, first_token: int) -> Window:
        if pair_ids is None:
            sequence = self.tokenizer.single(text_ids)
        else:
            sequence = self.tokenizer.pair(text_ids, pair_ids, segments=self.types_pairs)
        return Window(sequence, text_offset=1, first_token=first_token, token_count=len(text_ids))

    def decode(
        self, encoded: EncodedRequest[ClassificationRequest], outputs: Sequence[Outputs]
    ) -> ClassificationAnswer:
        """Average the windows' logits and score the labels."""
        labels = self.manifest.labels
        logits = take_output(outputs, "logits", [(len(labels),)] * len(encoded.windows))
        weights = [window.token_count for window in encoded.windows]
        merged = np.average(np.stack(logits).astype(np.float64), axis=0, weights=weights)
        scores = self._scores(merged, encoded.request.function)
        ranking = np.argsort(-scores, kind="stable")[: encoded.request.top_k]
        return ClassificationAnswer([LabelScore(labels[index], float(scores[index])) for index in ranking])

    def _scores(self, logits: Float64Array, function: ScoreFunction | None) -> Float64Array:
        match function or self._default_function():
            case "softmax":
                return softmax(logits)
            case "sigmoid":
                return sigmoid(logits)
            case "none":
                return logits

    def _default_function(self) -> ScoreFunction:
        """What transformers' pipeline applies; one label alone is a yes or no, since its softmax is always 1."""
        match self.manifest.problem_type:
            case "regression":
                return "none"
            case "multi_label_classification":
                return "sigmoid"
            case "single_label_classification" | None:
                return "softmax" if len(self.manifest.labels) > 1 else "sigmoid"
