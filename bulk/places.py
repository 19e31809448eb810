"""Where on the pages of a document the spans of an answer stand: columns beside `start` and `end`."""

import dataclasses
from typing import Any, get_args, get_origin

import numpy as np

from bigbird_inference.tasks.offset_units import Unit, unit_offsets
from bigbird_inference.tasks.read_windows import ReadWindow
from documents.document import Box, Document

PLACE_HINTS: dict[str, Any] = {"page": int | None, "boxes": list[Box] | None}
"""What is beside a span of a document: its first page, from 1, and a box for each line. Null where it is not known."""


def is_span(hint: Any) -> bool:
    """Return whether a part of an answer is a span of the document. Windows do not count: they cover whole pages."""
    if not (isinstance(hint, type) and dataclasses.is_dataclass(hint)) or issubclass(hint, ReadWindow):
        return False
    return {"start", "end"} <= {field.name for field in dataclasses.fields(hint)}


def holds_spans(hint: Any) -> bool:
    """Return whether a field of an answer is a list of spans."""
    return get_origin(hint) is list and is_span(get_args(hint)[0])


class Places:
    """Finds spans on a document's pages.

    Args:
        document: What was read of the file.
        unit: What `start` and `end` count.
    """

    def __init__(self, document: Document, unit: Unit) -> None:
        self._document = document
        ascii_only = unit == "code_points" or document.text.isascii()
        self._offsets = None if ascii_only else unit_offsets(document.text, unit)

    def of(self, span: Any) -> dict[str, Any]:
        """Return the columns of a span, as JSON; of an empty answer they are null."""
        start, end = span.start, span.end
        if self._offsets is not None:
            start, end = np.searchsorted(self._offsets, (start, end)).tolist()
        if start == end:
            return dict.fromkeys(PLACE_HINTS)
        known = self._document.boxes is not None
        boxes = [dataclasses.asdict(box) for box in self._document.locate(start, end)] if known else None
        return {"page": self._document.page_of(start), "boxes": boxes}
