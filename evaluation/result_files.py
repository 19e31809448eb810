"""The files that an evaluation leaves: the report as JSON, and the predictions as JSON lines."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from evaluation.errors import EvaluationError
from evaluation.predictions import predictions
from evaluation.run import Evaluation


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
