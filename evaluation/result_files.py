"""The files that an evaluation leaves: the report as JSON, and the predictions as JSON lines.

The predictions tell what became of every single item, for those who want to see what a model does wrong.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evaluation.asking import Answer, Outcome
from evaluation.datasets.base import Judgement
from evaluation.errors import EvaluationError
from evaluation.measuring import Measured
from evaluation.run import Evaluation


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


@dataclass(frozen=True, slots=True)
class ResultFiles:
    """Where results go; None where they are not wanted."""

    report: Path | None
    predictions: Path | None

    def ensure_writable(self) -> None:
        """Try to open the files, without changing anything.

        Raises:
            EvaluationError: One of them cannot be written.
        """
        for path in (self.report, self.predictions):
            if path is not None:
                _try_to_open(path)

    def write(self, evaluation: Evaluation) -> None:
        """Write the files; if one fails, the other is still written.

        Raises:
            EvaluationError: A file could not be written.
        """
        problems = []
        for path, parts in ((self.report, _report(evaluation)), (self.predictions, _predictions(evaluation))):
            if path is None:
                continue
            try:
                with path.open("w", encoding="utf-8") as file:
                    file.writelines(parts)
            except OSError as error:
                problems.append(f"{path}: {error.strerror}")
        if problems:
            raise EvaluationError("; ".join(problems))


def _try_to_open(path: Path) -> None:
    if not path.absolute().parent.is_dir():
        raise EvaluationError(f"{path}: the folder does not exist")
    try:
        existed = path.exists()
        if existed and not path.is_file():
            return  # a pipe or a device: opening it may already say something to whoever reads it
        with path.open("ab"):
            pass
        if not existed:
            path.unlink()
    except OSError as error:
        raise EvaluationError(f"{path}: {error.strerror}") from error


def _report(evaluation: Evaluation) -> Iterator[str]:
    yield json.dumps(evaluation.report.json(), indent=2, ensure_ascii=False) + "\n"


def _predictions(evaluation: Evaluation) -> Iterator[str]:
    for prediction in predictions(evaluation.measured):
        yield json.dumps(prediction, ensure_ascii=False) + "\n"
