"""What became of every single item, for those who want to see what a model does wrong."""

from collections.abc import Iterator, Sequence
from typing import Any

from evaluation.asking import Answer, Outcome
from evaluation.datasets.base import Judgement
from evaluation.measuring import Measured


def predictions(measured: Sequence[Measured]) -> Iterator[dict[str, Any]]:
    """Yield an object for each item, in the order of the file.

    Its fields are `line`, `id` (null where the file has none), `expected`, and `models`: of each model `place`,
    `model`, `precision`, `answer` (null if refused), `refused` (the reason, otherwise null), `right`, `f1` and
    `tokens`. The answer has the form of what is expected; of a question all right answers are listed.

    Args:
        measured: One or two models, asked about the same file.
    """
    judged = [one.dataset.judge(one.outcomes) for one in measured]
    for number, item in enumerate(measured[0].dataset.items):
        yield {
            "line": item.line,
            "id": item.id,
            "expected": judged[0][number].expected,
            "models": [
                {
                    "place": one.target.place,
                    "model": one.model.name,
                    "precision": one.model.precision,
                    **_fields(judgements[number], one.outcomes[number]),
                }
                for one, judgements in zip(measured, judged, strict=True)
            ],
        }


def _fields(judgement: Judgement, outcome: Outcome) -> dict[str, Any]:
    return {
        "answer": judgement.answer,
        "refused": None if isinstance(outcome, Answer) else outcome.reason,
        "right": judgement.right,
        "f1": judgement.f1,
        "tokens": outcome.tokens if isinstance(outcome, Answer) else None,
    }
