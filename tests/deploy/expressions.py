"""Every PromQL expression that is shipped, by a name that a failing test can show."""

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from tests.deploy.running_prometheus import ROOT, shipped_rules

DASHBOARDS = sorted((ROOT / "deploy" / "grafana" / "dashboards").glob("*.json"))

_COMPARISON = re.compile(r"(?<![=!<>])(?:==|!=|>=|<=|>|<)(?![=~])")
_SET_OPERATOR = re.compile(r"\b(?:and|or|unless)\b")


def dashboard(path: Path) -> dict[str, Any]:
    board: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return board


def panels(board: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """Every panel that is not the head of a row."""
    for panel in board["panels"]:
        if panel["type"] == "row":
            yield from panel.get("panels") or []
        else:
            yield panel


def panel_expressions() -> dict[str, str]:
    """Expressions of all panels, as `file: panel: query`."""
    return {
        f"{path.name}: {panel['title']}: {target['refId']}": target["expr"]
        for path in DASHBOARDS
        for panel in panels(dashboard(path))
        for target in panel["targets"]
    }


def variable_queries() -> dict[str, tuple[str, str]]:
    """Series and label of all variables that ask Prometheus, as `file: variable`."""
    found = {}
    for path in DASHBOARDS:
        for variable in dashboard(path)["templating"]["list"]:
            if variable["type"] == "query":
                match = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["query"]["query"])
                assert match, variable["query"]
                found[f"{path.name}: {variable['name']}"] = (match[1], match[2])
    return found


def recording_expressions() -> dict[str, str]:
    """Recording rules by what they record."""
    return {rule["record"]: rule["expr"] for rule in shipped_rules() if "record" in rule}


def alert_expressions() -> dict[str, str]:
    """What alerts compare, as `alert: number`: both sides of each comparison that are not plain numbers."""
    return {
        f"{rule['alert']}: {number}": side
        for rule in shipped_rules()
        if "alert" in rule
        for number, side in enumerate(compared_sides(rule["expr"]))
    }


def compared_sides(expression: str) -> list[str]:
    """Return what an alert's expression is made of, without `and`, `or`, comparisons, and numbers."""
    expression = _without_parentheses(expression.strip())
    for operator in (_SET_OPERATOR, _COMPARISON):
        parts = _split(expression, operator)
        if len(parts) > 1:
            return [side for part in parts for side in compared_sides(part)]
    if expression.startswith("absent("):
        return compared_sides(expression.removeprefix("absent"))
    return [] if re.fullmatch(r"[\d.*\s]+", expression) else [expression]


def _split(expression: str, operator: re.Pattern[str]) -> list[str]:
    """Split where an operator stands outside of parentheses, braces, brackets and strings."""
    hidden = _hidden(expression)
    parts, start = [], 0
    for match in operator.finditer(hidden):
        parts.append(expression[start : match.start()])
        start = match.end()
        # The labels of `on (...)` are hidden, so the operator ends after them.
        if following := re.match(r"\s*(?:on|ignoring)\s*\(.*?\)", expression[start:]):
            start += following.end()
    return [*parts, expression[start:]]


def _hidden(expression: str) -> str:
    """Return the expression with everything nested replaced by spaces."""
    visible, depth, quoted = [], 0, False
    for character in expression:
        quoted ^= character == '"'
        closes = character in ")}]" and not quoted
        depth -= closes
        visible.append(character if depth == 0 and not quoted and not closes else " ")
        depth += character in "({[" and not quoted
    return "".join(visible)


def _without_parentheses(expression: str) -> str:
    """Take off parentheses around the whole."""
    while expression.startswith("(") and not _hidden(expression)[1:].strip():
        expression = expression[1:-1].strip()
    return expression
