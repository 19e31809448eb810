"""Reranking: how well a document answers to a query, by a classification model of pairs.

The query is the first text of the pair and stands whole in every window, the document is the second and may be longer
than the model. The window that answers best speaks for its document: what a reader looks for stands in one place.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated

from pydantic import Field

from bigbird_inference.errors import InvalidInput
from bigbird_inference.manifest import Manifest
from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, once_for_each_text, take_output
from bigbird_inference.tasks.declaration import Operation, Text
from bigbird_inference.tasks.scores import sigmoid, softmax
from bigbird_inference.tokenization.encoded import TokenizedText, Window
from bigbird_inference.tokenization.tokenizer import PAIR_SPECIAL_TOKENS, Tokenizer
from bigbird_inference.tokenization.windows import plan_windows, window_capacity


@dataclass(frozen=True, slots=True)
class RelevanceRequest:
    """A query and a document.

    Attributes:
        query: What is looked for.
        document: Where it may be found.
        label: The label that means that it is there; None for the only one.
        raw_scores: Whether the score is the model's logit instead of a probability.
    """

    query: Annotated[Text, Field(description="What is looked for.")]
    document: Annotated[Text, Field(description="Where it may be found; it may be longer than the model.")]
    label: str | None = None
    raw_scores: bool = False


@dataclass(frozen=True, slots=True)
class Relevance:
    """How well the document answers.

    Attributes:
        score: Of the best window; a probability, or a logit where the model or the request says so.
        window: Which window that is, from 0.
    """

    score: float
    window: int


class Reranking(Task[RelevanceRequest, Relevance]):
    """Any classification model with one label, or with one that is named.

    Args:
        manifest: Of a classification model.
        tokenizer: Its tokenizer.
        usual_label: The label that is meant where a request names none and the model has it among several.
    """

    operation = Operation(
        "rerank",
        "Order documents by how well they answer",
        "Score each document for the query.",
        RelevanceRequest,
        Relevance,
    )

    decodes_at_once = True

    def __init__(self, manifest: Manifest, tokenizer: Tokenizer, usual_label: str | None = None) -> None:
        super().__init__(manifest, tokenizer)
        self._labels = manifest.labels
        self._usual_label = usual_label if usual_label in manifest.labels else None

    def encode(self, request: RelevanceRequest) -> EncodedRequest[RelevanceRequest]:
        """Cut the document into windows, each after the whole query."""
        return self._encode(request, self._tokenize_query)

    def encoder(self) -> Callable[[RelevanceRequest], EncodedRequest[RelevanceRequest]]:
        """Return an `encode` that tokenises a query once, however many documents there are."""
        return partial(self._encode, tokenize_query=once_for_each_text(self._tokenize_query))

    def _tokenize_query(self, query: str) -> TokenizedText:
        return self.tokenize_field("query", query, positions=False)

    def _encode(
        self, request: RelevanceRequest, tokenize_query: Callable[[str], TokenizedText]
    ) -> EncodedRequest[RelevanceRequest]:
        self._column(request)
        query = tokenize_query(request.query).ids
        tokens = self.tokenize_field("document", request.document, positions=False)
        surrounding = PAIR_SPECIAL_TOKENS + len(query)
        capacity = window_capacity(self.manifest.max_length, surrounding, len(tokens), blame="query")
        windows = []
        for part in plan_windows(len(tokens), capacity):
            ids = tokens.ids[part.first : part.first + part.count]
            sequence = self.tokenizer.pair(query, ids, segments=self.types_pairs)
            windows.append(Window(sequence, surrounding - 1, part.first, part.count))
        return EncodedRequest(request, tokens, windows)

    def decode(self, encoded: EncodedRequest[RelevanceRequest], outputs: Sequence[Outputs]) -> Relevance:
        """Score every window and take the best, the first of equal ones."""
        column = self._column(encoded.request)
        logits = take_output(outputs, "logits", [(len(self._labels),)] * len(encoded.windows))
        if encoded.request.raw_scores or self.manifest.problem_type == "regression":
            scores = [float(row[column]) for row in logits]
        elif len(self._labels) == 1 or self.manifest.problem_type == "multi_label_classification":
            scores = [float(sigmoid(row)[column]) for row in logits]
        else:
            scores = [float(softmax(row)[column]) for row in logits]
        best = max(scores)
        return Relevance(best, scores.index(best))

    def _column(self, request: RelevanceRequest) -> int:
        """Return where the label stands among the model's.

        Raises:
            InvalidInput: There is no such label, or several and none is named.
        """
        names = ", ".join(self._labels[:20])
        label = self._usual_label if request.label is None else request.label
        if label is None:
            if len(self._labels) > 1:
                raise InvalidInput(f"label is needed: which of the model's labels means that a document fits? {names}")
            return 0
        if label not in self._labels:
            raise InvalidInput(f"label is none of the model's labels: {names}")
        return self._labels.index(label)
