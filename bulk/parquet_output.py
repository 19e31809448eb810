"""The rows of a finished job as Parquet: the columns are those of the JSON, nested where the answer is."""

import dataclasses
import json
import types
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO, Literal, Union, get_args, get_origin, get_type_hints

from bigbird_inference.tasks.declaration import Operation
from bulk.answering import Usage
from bulk.places import PLACE_HINTS, is_span
from bulk.pyarrow_package import pyarrow_parquet
from bulk.requests import QUESTION

_ROWS_AT_ONCE = 1024
# Of JSON: with `--keep-text` a row may be as large as a document.
_BYTES_AT_ONCE = 16 * 2**20


def write_parquet(
    rows: Iterable[bytes],
    made: Path | BinaryIO,
    operation: Operation,
    *,
    keep_text: bool,
    located: bool,
    notes: Mapping[str, str] | None = None,
) -> None:
    """Write rows as Parquet, some at a time. `id` is always text.

    Args:
        rows: Each as a line of JSON.
        made: Where the Parquet goes; what is there is replaced.
        operation: Of the task: its answer gives the columns and their types.
        keep_text: Whether rows have the document.
        located: Whether there are documents among the inputs, so that spans have pages and boxes.
        notes: What else the file says of itself, by name.

    Raises:
        JobError: pyarrow is not installed.
        OSError: The file cannot be written.
    """
    parquet, _ = pyarrow_parquet()
    import pyarrow

    schema = pyarrow.schema(_columns(operation, keep_text, located), metadata=dict(notes or {}))
    with parquet.ParquetWriter(made, schema) as writer:
        for some in _some_at_once(rows):
            writer.write_batch(pyarrow.RecordBatch.from_pylist(some, schema=schema))


def _some_at_once(lines: Iterable[bytes]) -> Iterator[list[dict[str, Any]]]:
    rows, size = [], 0
    for line in lines:
        rows.append(_read(line))
        size += len(line)
        if len(rows) >= _ROWS_AT_ONCE or size >= _BYTES_AT_ONCE:
            yield rows
            rows, size = [], 0
    if rows:
        yield rows


def _read(line: bytes) -> dict[str, Any]:
    row = json.loads(line)
    return {**row, **{name: _unicode(row[name]) for name in ("id", QUESTION, "error") if row.get(name) is not None}}


def _unicode(value: str | int) -> str:
    """Return text that Parquet can hold: bytes of a file's name that are not UTF-8 as escapes, for example."""
    return str(value).encode("utf-8", "backslashreplace").decode()


def _columns(operation: Operation, keep_text: bool, located: bool) -> list[tuple[str, Any]]:
    asked = [QUESTION] if QUESTION in {field.name for field in dataclasses.fields(operation.request)} else []
    kept = ["document"] if keep_text else []
    answer = get_type_hints(operation.answer)
    hints: dict[str, Any] = {
        "row": int,
        "id": str,
        **dict.fromkeys(asked, str),
        **answer,
        **(PLACE_HINTS if located and is_span(operation.answer) else {}),
        **dict.fromkeys(kept, str),
        "usage": Usage,
        "error": str,
    }
    return [(name, _arrow_type(hint, located)) for name, hint in hints.items()]


def _arrow_type(hint: Any, located: bool) -> Any:
    """Return Arrow's type of what a task declares; every value may be null."""
    import pyarrow

    plain = {int: pyarrow.int64(), float: pyarrow.float64(), str: pyarrow.string(), bool: pyarrow.bool_()}
    if hint in plain:
        return plain[hint]
    if dataclasses.is_dataclass(hint):
        fields = {**get_type_hints(hint), **(PLACE_HINTS if located and is_span(hint) else {})}
        return pyarrow.struct([(name, _arrow_type(own, located)) for name, own in fields.items()])
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is list:
        return pyarrow.list_(_arrow_type(arguments[0], located))
    if origin is Literal:
        return pyarrow.string()
    if origin in (Union, types.UnionType):
        (own,) = (argument for argument in arguments if argument is not type(None))
        return _arrow_type(own, located)
    raise TypeError(f"no column of Parquet can hold {hint}")
