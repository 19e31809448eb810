"""A report as Markdown tables, for people."""

import math
from collections.abc import Iterable, Sequence

from evaluation.figures import Estimate
from evaluation.metrics.intervals import Interval
from evaluation.report import Comparison, ModelResult, Report, Row

_MOST_REFUSALS = 10


def markdown(report: Report) -> str:
    """Return the report; all refused items stand in the JSON only."""
    lines = [f"# {report.task}: {report.data}", "", f"{report.description}. {_explain_intervals(report)}"]
    names = _names(report.results)
    for name, result in zip(names, report.results, strict=True):
        lines += ["", f"## {name}", "", *_result(report, result)]
    if report.comparison is not None:
        first, second = names
        lines += ["", f"## {second} minus {first}", "", *_comparison(report.comparison, first, second)]
    if report.failure is not None:
        lines += ["", f"The second model has no result: {report.failure}"]
    return "\n".join(lines) + "\n"


def _explain_intervals(report: Report) -> str:
    return (
        f"In parentheses: {100 * report.resampling.level:g} % intervals, Wilson's or by drawing the documents "
        f"{report.resampling.resamples} times."
    )


def _names(results: Sequence[ModelResult]) -> list[str]:
    names = [f"{result.model.name} ({result.model.precision})" for result in results]
    return names if len(set(names)) == len(names) else [f"{result.place} {result.model.name}" for result in results]


def _result(report: Report, result: ModelResult) -> Iterable[str]:
    yield from _rows([result.all, *result.by_length], signed=False)
    if result.details:
        yield ""
        yield from _table(
            ("Figure", "Items", "Value"),
            [(figure.name, f"{figure.items:,}", _written(figure, signed=False)) for figure in result.details],
        )
    for note in result.notes:
        yield from ("", note)
    if result.refused:
        yield ""
        yield f"Refused, and counted as wrong: {len(result.refused)} of {report.requests} requests."
        yield ""
        yield from (f"- {report.data}:{item.line}: {item.reason}" for item in result.refused[:_MOST_REFUSALS])
        if len(result.refused) > _MOST_REFUSALS:
            yield f"- and {len(result.refused) - _MOST_REFUSALS} more"


def _comparison(comparison: Comparison, first: str, second: str) -> Iterable[str]:
    yield from _rows([comparison.all, *comparison.by_length], signed=True)
    if comparison.mcnemar is not None:
        test = comparison.mcnemar
        yield ""
        yield (
            f"Right only with {first}: {test.only_first}; only with {second}: {test.only_second}; exact McNemar test: "
            f"p = {test.p_value:.3g}."
        )
    for note in comparison.notes:
        yield from ("", note)


def _rows(rows: Sequence[Row], *, signed: bool) -> Iterable[str]:
    header = ["Tokens read", "Documents", *(figure.name for figure in rows[0].figures)]
    yield from _table(
        header,
        [
            [_range(row), f"{row.documents:,}", *(_written(figure, signed=signed) for figure in row.figures)]
            for row in rows
        ],
    )


def _table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterable[str]:
    yield f"| {' | '.join(header)} |"
    yield "|---" * len(header) + "|"
    for row in rows:
        yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |"


def _range(row: Row) -> str:
    if row.refused:
        return "refused"
    if row.low is None:
        return "all"
    return f"{row.low:,} and more" if row.high is None else f"{row.low:,} to {row.high:,}"


def _written(figure: Estimate, *, signed: bool) -> str:
    if math.isnan(figure.value):
        return "undefined"
    return _number(figure.value, signed=signed) + _bounds(figure.interval, signed=signed)


def _bounds(interval: Interval | None, *, signed: bool) -> str:
    if interval is None:
        return ""
    return f" ({_number(interval.low, signed=signed)} to {_number(interval.high, signed=signed)})"


def _number(value: float, *, signed: bool) -> str:
    # Adding 0 turns -0.0 into 0.0.
    return f"{round(value, 3) + 0.0:{'+' if signed else ''}.3f}"
