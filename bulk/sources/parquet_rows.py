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
                        yield FileRow(number, partial(_Cells, batch, index), number, number, row_bytes)
                    before += batch.num_rows
    except (arrow_error, OSError) as error:
        raise JobError(f"not Parquet that can be read: {error}") from error


class _Cells(Mapping[str, Any]):
    """The cells of a row, each converted when it is asked for: one that nobody needs may hold what Python cannot.

    Args:
        batch: Holds the row.
        index: Which one it is.
    """

    def __init__(self, batch: Any, index: int) -> None:
        self._batch = batch
        self._index = index

    def __getitem__(self, name: str) -> Any:
        columns = self._batch.schema.get_all_field_indices(name)
        if not columns:
            raise KeyError(name)
        if len(columns) > 1:
            raise RowError(f"two columns are named {name!r}; give each a name of its own")
        try:
            return _text(self._batch.column(columns[0])[self._index].as_py())
        except (ValueError, ArithmeticError) as error:
            raise RowError(f"the cell of {name!r} cannot be read: {error}") from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._batch.schema.names)

    def __len__(self) -> int:
        return len(self._batch.schema.names)


def _text(value: Any) -> Any:
    """Return bytes as the text that they are: some programs write texts without saying that they are."""
    if isinstance(value, list):
        return [_text(own) for own in value]
    try:
        return value.decode() if isinstance(value, bytes) else value
    except UnicodeDecodeError:
        return value
