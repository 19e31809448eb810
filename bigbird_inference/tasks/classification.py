"""Sequence classification: one document, or a pair of texts, to scored labels.

A document of several windows has one logit vector per window; they are averaged by the number of the text's tokens in
each window, and the function that turns logits into scores is applied once, to the average.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import numpy.typing as npt
from pydantic import Field

from bigbird_inference.errors import BundleError, InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Float32Array, Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import LeftOut, Listed, Operation, Text, WindowStride
from bigbird_inference.tasks.offset_units import Offsets
from bigbird_inference.tasks.read_windows import ReadWindow, Windows, read_windows
from bigbird_inference.tasks.scores import Float64Array, sigmoid, softmax
from bigbird_inference.tokenization.encoded import Int64Array, Window
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS, SINGLE_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity

IntArray = npt.NDArray[np.intp]
ScoreFunction = Literal["softmax", "sigmoid", "none"]


@dataclass(frozen=True, slots=True)
class ClassificationRequest:
    """A text to classify, alone or with a second text, or a list of texts."""

    text: Annotated[
        Text,
        Field(
            description="The document, or a list. It may be longer than the model.",
            examples=["The court admitted the claim. The limitation period has expired."],
        ),
        Listed(),
    ]
    text_pair: Annotated[
        Text | None,
        Field(description="A second text for models of pairs, or a list. It stands whole in every window."),
        Listed(),
    ] = None
    top_k: Annotated[int | None, Field(ge=1, le=10_000, description="Most labels in `labels`. Default: all.")] = None
    function: Annotated[
        ScoreFunction | None,
        Field(description="How logits become scores. Default: what the model was trained with."),
    ] = None
    window_stride: WindowStride = None
    threshold: Annotated[
        float | None,
        Field(
            ge=0.0,
            le=1.0,
            allow_inf_nan=False,
            description="Labels with a lower score are left out; scores must be probabilities. Default: all are kept.",
        ),
    ] = None
    offsets: Offsets = "code_points"
    windows: Windows = False


@dataclass(frozen=True, slots=True)
class LabelScore:
    """A label and its score."""

    label: str
    score: float


@dataclass(frozen=True, slots=True)
class ClassifiedWindow(ReadWindow):
    """A window of the text, and what it says alone."""

    labels: Annotated[
        list[LabelScore], Field(description="The scores of the answer's labels in this window, in the answer's order.")
    ]


@dataclass(frozen=True, slots=True)
class ClassificationAnswer:
    """The best label; of equally good ones the first in the model's order."""

    label: Annotated[str | None, Field(description="Null if no label reaches `threshold`.")]
    score: Annotated[float | None, Field(description="The label's; null where there is none.")]
    labels: Annotated[
        list[LabelScore],
        Field(
            description="The `top_k` best labels, best first, this one among them; empty if none reaches `threshold`."
        ),
    ]
    windows: Annotated[
        list[ClassifiedWindow] | None,
        Field(
            description="The windows in the order of the text, if `windows` asked for them. Their share of the answer "
            "is that of their `tokens`."
        ),
        LeftOut(),
    ] = None


class Classification(Task[ClassificationRequest, ClassificationAnswer]):
    """Single-label, multi-label and regression models."""

    operation = Operation(
        "classify",
        "Label a document",
        "Score the model's labels for the text.",
        ClassificationRequest,
        ClassificationAnswer,
        schema={
            "if": {"properties": {"function": {"const": "none"}}, "required": ["function"]},
            "then": {"properties": {"threshold": {"type": "null"}}},
        },
        located_in="text",
        smaller_answer="lower top_k",
    )

    decodes_at_once = True

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer) -> None:
        super().__init__(manifest, tokenizer)
        if not manifest.labels:
            raise BundleError("a classification bundle needs labels, and the manifest has none")

    def encode(self, request: ClassificationRequest) -> EncodedRequest[ClassificationRequest]:
        """Cut the text into windows, with the second text after each."""
        if request.threshold is not None and self._function(request) == "none":
            raise InvalidInput(
                "threshold is a probability, and these scores are the model's raw values; leave threshold out, or set "
                "function to sigmoid or softmax"
            )
        tokens = self.tokenize_field("text", request.text, positions=request.windows)
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
        request = encoded.request
        scores = self._scores(merged, self._function(request))
        ranking = np.argsort(-scores, kind="stable")[: request.top_k]
        if request.threshold is not None:
            ranking = ranking[scores[ranking] >= request.threshold]
        windows = self._listed_windows(encoded, logits, ranking) if request.windows else None
        ranked = self._scored(scores, ranking)
        if not ranked:
            return ClassificationAnswer(None, None, [], windows)
        return ClassificationAnswer(ranked[0].label, ranked[0].score, ranked, windows)

    def _listed_windows(
        self, encoded: EncodedRequest[ClassificationRequest], logits: Sequence[Float32Array], ranking: IntArray
    ) -> list[ClassifiedWindow]:
        function = self._function(encoded.request)
        windows = read_windows(encoded.tokens, encoded.windows)
        return [
            ClassifiedWindow(
                window.start,
                window.end,
                window.tokens,
                self._scored(self._scores(own.astype(np.float64), function), ranking),
            )
            for window, own in zip(windows, logits, strict=True)
        ]

    def _scored(self, scores: Float64Array, ranking: IntArray) -> list[LabelScore]:
        return [LabelScore(self.manifest.labels[index], float(scores[index])) for index in ranking]

    def _scores(self, logits: Float64Array, function: ScoreFunction) -> Float64Array:
        match function:
            case "softmax":
                return softmax(logits)
            case "sigmoid":
                return sigmoid(logits)
            case "none":
                return logits

    def _function(self, request: ClassificationRequest) -> ScoreFunction:
        """Return what the request asks for, or what transformers' pipeline applies.

        One label alone is a yes or no, since its softmax is always 1.
        """
        if request.function is not None:
            return request.function
        match self.manifest.problem_type:
            case "regression":
                return "none"
            case "multi_label_classification":
                return "sigmoid"
            case "single_label_classification" | None:
                return "softmax" if len(self.manifest.labels) > 1 else "sigmoid"
