"""Multiple choice: which of several texts goes with a prompt.

Each choice is a sequence of its own, `[CLS] prompt [SEP] choice [SEP]`, and gets one number; they meet only in the
softmax over the choices. So a request's choices are batched, padded and bucketed like anybody else's sequences.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import numpy as np
from pydantic import Field

from bigbird_inference.runtime.session import Outputs
from bigbird_inference.tasks.base import EncodedRequest, Task, take_output
from bigbird_inference.tasks.declaration import Listed, Operation, Text
from bigbird_inference.tasks.scores import softmax
from bigbird_inference.tokenization.encoded import Window


@dataclass(frozen=True, slots=True)
class ChoiceRequest:
    """A prompt and the texts to choose from, or a list of prompts that share their choices."""

    prompt: Annotated[
        Text,
        Field(
            description="The prompt, or a list. It must fit the model together with each choice.",
            examples=["The survey of the bridges took longer than planned, because"],
        ),
        Listed(),
    ]
    choices: Annotated[
        list[Text],
        Field(
            min_length=2,
            max_length=64,
            description="The texts to choose from.",
            examples=[["the river was in flood.", "bridges cross rivers."]],
        ),
    ]


@dataclass(frozen=True, slots=True)
class ChoiceAnswer:
    """The choice that goes best with the prompt; the first of equally good ones."""

    choice: str
    index: Annotated[int, Field(description="Its position in `choices`, from 0.")]
    scores: Annotated[list[float], Field(description="The probability of each choice, in the order of the request.")]


class MultipleChoice(Task[ChoiceRequest, ChoiceAnswer]):
    """Models with one logit for a pair of texts."""

    operation = Operation(
        "choose",
        "Choose the text that goes with a prompt",
        "Score each choice after the prompt, and return the best one.",
        ChoiceRequest,
        ChoiceAnswer,
    )

    decodes_at_once = True

    def encode(self, request: ChoiceRequest) -> EncodedRequest[ChoiceRequest]:
        """Put the prompt before each choice."""
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
        best = int(np.argmax(scores))
        return ChoiceAnswer(encoded.request.choices[best], best, scores.tolist())
