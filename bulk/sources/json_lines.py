"""JSON lines: an object on each line, its members being the columns."""

import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

from bigbird_inference import strict_json
from bulk.errors import RowError
from bulk.sources.rows import ByteLines, FileRow, Line, check_encoding, read_lines, too_large


def json_rows(stream: ByteLines, offset: int, lines: int) -> Iterator[FileRow]:
    """Yield a row for each line that is not blank.

    Args:
        stream: The file, at the offset.
        offset: Bytes before it.
        lines: Lines before it.

    Raises:
        JobError: It is not UTF-8.
    """
    for number, line in enumerate(read_lines(stream), start=lines + 1):
        offset += line.size
        if number == 1 and line.content is not None:
            check_encoding(line.content)
        if line.content is None or line.content.strip():
            yield FileRow(number, partial(_parse, line), offset, number, line.size)


def _parse(line: Line) -> Mapping[str, Any]:
    if line.content is None:
        raise RowError(too_large(line.size))
    try:
        value = strict_json.loads(line.content.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise RowError(f"not UTF-8: byte 0x{line.content[error.start]:02x} at position {error.start}") from None
    except json.JSONDecodeError as error:
        raise RowError(f"not JSON: {error.msg[0].lower()}{error.msg[1:]} at character {error.pos + 1}") from None
    except RecursionError:
        raise RowError("not JSON that can be read: nested too deeply") from None
    except ValueError as error:
        raise RowError(f"not JSON: {error}") from None
    if not isinstance(value, dict):
        raise RowError("the line is not a JSON object")
    return value
