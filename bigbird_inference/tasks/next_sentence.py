"""Next-sentence prediction: whether a second text follows a first one, as in pre-training."""

from collections.abc import Sequence
from dataclasses import dataclass

from bigbird_inference.tasks.base import EncodedRequest, Outputs, Task, take_output
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import Window


@dataclass(frozen=True, slots=True)
class NextSentenceRequest:
    """Two texts, which together fit the model."""

    first: str
    second: str


@dataclass(frozen=True, slots=True)
class NextSentenceAnswer:
    """The probabilities of the two possibilities; together 1."""

    is_next: float
    not_next: float


class NextSentence(Task[NextSentenceRequest, NextSentenceAnswer]):
    """Models with two logits for a pair: the second text follows the first; it does not."""

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
        return NextSentenceAnswer(is_next, not_next)
