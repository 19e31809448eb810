"""Write `docs/fields.md`: every field of every task's request and answer, from what the tasks declare."""

import dataclasses
import json
import typing
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal

from pydantic.fields import FieldInfo

from bigbird_inference.tasks.declaration import LeftOut, Listed
from bigbird_inference.tasks.registry import TASKS

PAGE = Path(__file__).parents[1] / "docs" / "fields.md"

_HEAD = """# The fields of every task

Written by `python -m scripts.write_task_fields` from the declarations in `bigbird_inference/tasks`. Over HTTP every
request may also hold `model` and `timeout_ms`, and every answer holds `model` and `usage`: see [http.md](http.md).
"""


def page() -> str:
    """Return the page."""
    parts = [_HEAD]
    for task, served in TASKS.items():
        operation = served.operation
        parts.append(f"## `/{task}`: {operation.summary[0].lower()}{operation.summary[1:]}\n")
        parts.append(f"{operation.description}\n")
        parts.append(_table("Request", operation.request))
        parts.append(_table("Answer", operation.answer))
        parts += [_table(f"`{part.__name__}`", part) for part in _parts(operation.answer)]
    return "\n".join(parts)


def _table(title: str, declared: type[Any]) -> str:
    hints = typing.get_type_hints(declared, include_extras=True)
    lines = [f"| {title} | Type | Default | |", "|---|---|---|---|"]
    for field in dataclasses.fields(declared):
        infos = _infos(hints[field.name])
        described = " ".join(info.description for info in infos if info.description)
        kind = _kind(hints[field.name]) + "".join(f", {limit}" for limit in _limits(infos))
        default = "" if field.default is dataclasses.MISSING else f"`{json.dumps(field.default)}`"
        if LeftOut() in typing.get_args(hints[field.name]):
            kind, default = kind.removesuffix(" or null"), "left out"
        lines.append(f"| `{field.name}` | {kind} | {default} | {described} |")
    return "\n".join(lines) + "\n"


def _infos(hint: Any) -> list[FieldInfo]:
    return [mark for mark in getattr(hint, "__metadata__", ()) if isinstance(mark, FieldInfo)]


def _limits(infos: list[FieldInfo]) -> list[str]:
    signs = {"ge": "at least", "gt": "more than", "le": "at most"}
    marks = [mark for info in infos for mark in info.metadata]
    return [f"{said} {getattr(mark, sign):,}" for mark in marks for sign, said in signs.items() if hasattr(mark, sign)]


def _kind(hint: Any) -> str:
    """Return a type in words."""
    marks = getattr(hint, "__metadata__", ())
    if any(isinstance(mark, Listed) for mark in marks):
        return "text, or a list of texts"
    bare = hint.__origin__ if marks else hint
    arguments = [argument for argument in typing.get_args(bare) if argument is not NoneType]
    if isinstance(bare, UnionType) or typing.get_origin(bare) is typing.Union:
        return f"{_kind(arguments[0])} or null"
    if typing.get_origin(bare) is Literal:
        return ", ".join(f"`{argument}`" for argument in arguments)
    if typing.get_origin(bare) is list:
        return f"list of {_kind(arguments[0])}"
    names = {str: "text", int: "integer", float: "number", bool: "boolean"}
    return names.get(bare) or f"`{bare.__name__}`"


def _parts(answer: type[Any]) -> list[type[Any]]:
    """Return the dataclasses that an answer holds."""
    found: list[type[Any]] = []
    pending = list(typing.get_type_hints(answer).values())
    while pending:
        hint = pending.pop(0)
        pending += typing.get_args(hint)
        if dataclasses.is_dataclass(hint) and hint not in found:
            found.append(typing.cast(type[Any], hint))
            pending += typing.get_type_hints(hint).values()
    return found


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
