"""Parquet, read some hundred rows at a time."""

from collections.abc import Iterator, Mapping
from functools import partial
from os import SEEK_END
from typing import Any, BinaryIO

from bulk.errors import JobError, RowError
from bulk.pyarrow_package import pyarrow_parquet
from bulk.sources.rows import FileRow

_ROWS_AT_ONCE = 256
# Of a column; otherwise all of a row group's, which may be the whole file.
_READ_AT_ONCE = 2**20


def parquet_rows(content: BinaryIO, first: int) -> Iterator[FileRow]:
    """Yield the rows of a file from one on.

    Args:
        content: The file.
        first: Rows before it.

    Raises:
        JobError: It is not Parquet, or pyarrow is not installed.
    """
    parquet, arrow_error = pyarrow_parquet()
    try:
        size = content.seek(0, SEEK_END)
        with parquet.ParquetFile(content, buffer_size=_READ_AT_ONCE) as file:
            row_bytes = size // max(file.metadata.num_rows, 1)
            before = 0
            for group in range(file.num_row_groups):
                rows = file.metadata.row_group(group).num_rows
                if before + rows <= first:
                    before += rows
                    continue
                for batch in file.iter_batches(_ROWS_AT_ONCE, row_groups=[group]):
                    for index in range(max(first - before, 0), batch.num_rows):
                        number = before + index + 1
                        yield FileRow(number, partial(_values, batch, index), number, number, row_bytes)
                    before += batch.num_rows
    except (arrow_error, OSError) as error:
        raise JobError(f"not Parquet that can be read: {error}") from error


def _values(batch: Any, index: int) -> Mapping[str, Any]:
    try:
        values: Mapping[str, Any] = batch.slice(index, 1).to_pylist()[0]
    except (ValueError, UnicodeDecodeError) as error:
        raise RowError(f"a cell cannot be read: {error}") from None
    return {name: _text(value) for name, value in values.items()}


def _text(value: Any) -> Any:
    """Return bytes as the text that they are: some programs write texts without saying that they are."""
    if isinstance(value, list):
        return [_text(own) for own in value]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
