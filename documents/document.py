"""A document: its text, and where every character of it stands on a page."""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from operator import attrgetter

import numpy as np
from numpy.typing import NDArray

Float32Array = NDArray[np.float32]
Int64Array = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Page:
    """A page, as a reader sees it: turned as the file asks.

    Attributes:
        start: Where in the text its characters begin.
        end: Where they end, exclusive; the same as `start` on a page without text.
        width: In points.
        height: In points.
    """

    start: int
    end: int
    width: float
    height: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle on a page, in points from the upper left corner of its MediaBox, turned as the file asks.

    These are the numbers of pdfplumber's characters. On nearly all pages that corner is the one that is seen; where a
    CropBox shows less of the page, it lies outside.

    Attributes:
        page: Counted from 1.
        x0: Left edge.
        top: Upper edge.
        x1: Right edge.
        bottom: Lower edge; greater than `top`.
    """

    page: int
    x0: float
    top: float
    x1: float
    bottom: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A passage to mark in a copy of the file.

    Attributes:
        boxes: Its lines.
        note: What a viewer shows with it.
    """

    boxes: Sequence[Box]
    note: str


@dataclass(frozen=True, slots=True, eq=False)
class Document:
    """What was read of a file.

    Attributes:
        text: All of it. Lines end with a line feed; an empty line separates paragraphs and pages.
        pages: In their order; none where the format knows no pages, as in HTML and DOCX.
        boxes: Of each character: x0, top, x1, bottom as in `Box`; float32 `[characters, 4]`. NaN where a character
            stands nowhere on the page, such as line feeds. None where nothing is known of any.
        line_starts: Where in the text the lines of the pages begin, ascending; int64 `[lines]`. A line that ends with a
            hyphen that was taken out goes on in the next without a line feed.
    """

    text: str
    pages: Sequence[Page] = ()
    boxes: Float32Array | None = None
    line_starts: Int64Array = field(default_factory=lambda: np.empty(0, np.int64))

    def page_of(self, position: int) -> int | None:
        """Return the number of the page, from 1, on which a position of the text is; None if there are no pages."""
        return bisect_right(self.pages, position, key=attrgetter("start")) or None

    def locate(self, start: int, end: int) -> list[Box]:
        """Return a box for each line that the text from `start` to `end` stands on, in the order of the text."""
        if self.boxes is None or not 0 <= start < end <= len(self.text):
            return []
        first, last = np.searchsorted(self.line_starts, (start, end - 1), side="right")
        cuts = [start, *self.line_starts[first:last].tolist(), end]
        found = []
        for begin, stop in pairwise(cuts):
            corners = self.boxes[begin:stop]
            corners = corners[~np.isnan(corners[:, 0])]
            if len(corners):
                x0, top = corners[:, :2].min(axis=0).tolist()
                x1, bottom = corners[:, 2:].max(axis=0).tolist()
                page = self.page_of(begin)
                assert page is not None
                found.append(Box(page, *(round(edge, 2) for edge in (x0, top, x1, bottom))))
        return found
