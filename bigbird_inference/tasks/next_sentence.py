"""Next-sentence prediction: whether a second text follows a first one, as in pre-training."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

from pydantic import Field

from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import Listed, Operation, Text
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import Window


@dataclass(frozen=True, slots=True)
class NextSentenceRequest:
    """Two texts, or a list of such pairs.

    Either field may be a list. Two lists pair up item by item; one text beside a list goes with each of its items.
    """

    first: Annotated[
        Text,
        Field(description="The first text, or a list.", examples=["The survey of the northern bridges ended in May."]),
        Listed(),
    ]
    second: Annotated[
        Text,
        Field(
            description="The text that may follow it, or a list. Both together must fit the model.",
            examples=["Its report was published in June."],
        ),
        Listed(),
    ]


@dataclass(frozen=True, slots=True)
class NextSentenceScores:
    """The probabilities of both possibilities; together 1."""

    is_next: float
    not_next: float


@dataclass(frozen=True, slots=True)
class NextSentenceAnswer:
    """Whether the second text follows the first."""

    is_next: Annotated[bool, Field(description="Whether following is at least as probable as not following.")]
    score: Annotated[float, Field(description="Probability that the second text follows the first.")]
    scores: NextSentenceScores


class NextSentence(Task[NextSentenceRequest, NextSentenceAnswer]):
    """Models with two logits for a pair: the second text follows the first; it does not."""

    operation = Operation(
        "judge_next_sentence",
        "Does one text follow another?",
        "Score whether the second text follows the first.",
        NextSentenceRequest,
        NextSentenceAnswer,
    )

    decodes_at_once = True

    def encode(self, request: NextSentenceRequest) -> EncodedRequest[NextSentenceRequest]:
        """Put both texts, whole, into one sequence."""
        first = self.tokenize_field("first", request.first, positions=False)
        second = self.tokenize_field("second", request.second, positions=False)
        sequence = self.tokenizer.pair(first.ids, second.ids, segments=self.types_pairs)
        self.ensure_fits("first together with second", len(sequence))
        return EncodedRequest(request, first, [Window(sequence, 1, 0, len(first))])

    def decode(self, encoded: EncodedRequest[NextSentenceRequest], outputs: Sequence[Outputs]) -> NextSentenceAnswer:
        """Score both possibilities."""
        (logits,) = take_output(outputs, "logits", [(2,)])
        is_next, not_next = softmax(logits).tolist()
        return NextSentenceAnswer(is_next >= not_next, is_next, NextSentenceScores(is_next, not_next))
