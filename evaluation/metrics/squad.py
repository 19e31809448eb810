"""Exact match and F1 of answers, as the SQuAD evaluation scripts define them.

Texts are compared without case, ASCII punctuation, English articles and superfluous whitespace; the best of several
right answers counts. v2.0 differs from v1.1 in two points: right answers of which nothing is left that way do not
count, and F1 against "there is no answer" is 1 for the empty answer and 0 for any other.
"""

import re
import string
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from evaluation.data.squad import SquadVersion

_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def normalised(text: str) -> str:
    """Return what of a text is compared."""
    return " ".join(_ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split())


def exact_match(prediction: str, answers: Sequence[str], version: SquadVersion) -> float:
    """Return 1 if the prediction is one of the answers, otherwise 0.

    Args:
        prediction: The predicted answer; empty if it is predicted that there is none.
        answers: The right ones; none if there is no answer.
        version: Whose rules count.
    """
    return float(normalised(prediction) in _comparable(answers, version))


def token_f1(prediction: str, answers: Sequence[str], version: SquadVersion) -> float:
    """Return the F1 of the words of the prediction and the closest answer; the arguments are those of `exact_match`."""
    predicted = normalised(prediction).split()
    return max(_overlap(predicted, answer.split(), version) for answer in _comparable(answers, version))


def _comparable(answers: Sequence[str], version: SquadVersion) -> list[str]:
    texts = [normalised(answer) for answer in answers]
    if version == "v2.0":
        texts = [text for text in texts if text]
    return texts or [""]


def _overlap(predicted: list[str], expected: list[str], version: SquadVersion) -> float:
    if version == "v2.0" and not (predicted and expected):
        return float(predicted == expected)
    common = (Counter(predicted) & Counter(expected)).total()
    return 2 * common / (len(predicted) + len(expected)) if common else 0.0


@dataclass(frozen=True, slots=True)
class BestThreshold:
    """The largest mean score that any threshold of the no-answer score reaches, and the lowest such threshold.

    A question counts as having no answer if its no-answer score is above the threshold.
    """

    score: float
    threshold: float


def best_threshold(scores: npt.ArrayLike, no_answer_scores: npt.ArrayLike, impossible: npt.ArrayLike) -> BestThreshold:
    """Find the best threshold with knowledge of the right answers, so its score is a bound, not a forecast.

    Args:
        scores: What each question's best answer that is not empty scores; ignored for impossible questions.
        no_answer_scores: How sure the model is that each has no answer.
        impossible: Whether each has none.
    """
    no_answer = np.asarray(no_answer_scores, dtype=np.float64)
    order = np.argsort(no_answer, kind="stable")
    # At first nothing is answered. Question after question, by rising no-answer score, is answered instead.
    gains = np.where(impossible, -1.0, np.asarray(scores, dtype=np.float64))[order]
    totals = np.concatenate(([0.0], np.cumsum(gains))) + np.count_nonzero(impossible)
    thresholds = np.concatenate(([-np.inf], no_answer[order]))
    # Questions with the same no-answer score are answered together or not at all.
    possible = np.append(thresholds[:-1] != thresholds[1:], True)
    best = int(np.argmax(np.where(possible, totals, -np.inf)))
    return BestThreshold(float(totals[best] / len(order)), float(thresholds[best]))
