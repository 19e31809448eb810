"""Multiple choice: which of several texts goes with a prompt.

Each choice is a sequence of its own, `[CLS] prompt [SEP] choice [SEP]`, and gets one number; they meet only in the
softmax over the choices. So a request's choices are batched, padded and bucketed like anybody else's sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bigbird_inference.errors import InvalidInput
from bigbird_inference.tasks.base import EncodedRequest, Outputs, Task, take_output
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import Window

MIN_CHOICES, MAX_CHOICES = 2, 64


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """A prompt and the texts to choose from; the prompt fits the model together with each of them."""

    prompt: str
    choices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """The best choice.

    Attributes:
        index: Its position among the choices; the first of equally good ones.
        scores: The probability of each choice, in the order of the request.
    """

    index: int
    scores: list[float]


class MultipleChoice(Task[ChoiceRequest, ChoiceAnswer]):
    """Models with one logit for a pair of texts."""

    decodes_at_once = True

    def encode(self, request: ChoiceRequest) -> EncodedRequest[ChoiceRequest]:
        """Put the prompt before each choice."""
        if not MIN_CHOICES <= len(request.choices) <= MAX_CHOICES:
            raise InvalidInput(f"choices must be {MIN_CHOICES} to {MAX_CHOICES} texts")
        prompt = self.tokenize_field("prompt", request.prompt, positions=False)
        windows = []
        for number, choice in enumerate(request.choices):
            name = f"choices[{number}]"
            choice_ids = self.tokenize_field(name, choice, positions=False).ids
            sequence = self.tokenizer.pair(prompt.ids, choice_ids, segments=self.types_pairs)
            self.ensure_fits(f"prompt together with {name}", len(sequence))
            windows.append(Window(sequence, 1, 0, len(prompt)))
        return EncodedRequest(request, prompt, windows)

    def decode(self, encoded: EncodedRequest[ChoiceRequest], outputs: Sequence[Outputs]) -> ChoiceAnswer:
        """Let the choices compete."""
        logits = take_output(outputs, "logits", [(1,)] * len(encoded.windows))
        scores = softmax(np.concatenate(logits))
        return ChoiceAnswer(int(np.argmax(scores)), scores.tolist())
