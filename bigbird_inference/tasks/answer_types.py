"""What kind of answer a document gives, for models trained on Natural Questions.

Their head has a logit for each of five categories of a window, named as in that data: nothing in the window answers
(`null`), a few words do (`short`), only a passage does (`long`), or the answer is `yes` or `no`. Windows without an
answer, and those of yes/no questions, have no span to learn from: what the span's logits say there means nothing, that
of `[CLS]` included. So the category comes first, and one window speaks for the document: the one that is least likely
to be `null`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from bigbird_inference.runtime.session import Float32Array
from bigbird_inference.tasks.scores import softmax

AnswerType = Literal["null", "short", "long", "yes", "no"]
ANSWER_TYPES: tuple[AnswerType, ...] = get_args(AnswerType)
"""In the order of the logits."""

NULL: AnswerType = "null"


@dataclass(frozen=True, slots=True)
class WindowChoice:
    """The window that speaks for a document.

    Attributes:
        window: Its index.
        answer_type: Its most probable category; of equal ones the first.
        score: That category's probability.
        null_score: The probability of `null`, the smallest of all windows.
    """

    window: int
    answer_type: AnswerType
    score: float
    null_score: float


def choose_window(logits: Sequence[Float32Array]) -> WindowChoice:
    """Return the window that is least likely to be `null`; of equal ones the first.

    Args:
        logits: Of the categories for each window, float32 `[5]` each; at least one.
    """
    probabilities = softmax(np.stack(logits))  # [windows, 5]
    nulls = probabilities[:, ANSWER_TYPES.index(NULL)]
    window = int(nulls.argmin())
    best = int(probabilities[window].argmax())
    return WindowChoice(window, ANSWER_TYPES[best], float(probabilities[window, best]), float(nulls[window]))
