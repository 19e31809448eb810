"""From PDFium's coordinates to those of a page as it is seen, and back."""

from contextlib import closing
from dataclasses import dataclass

import numpy as np
import pypdfium2
from pypdfium2 import raw

from documents.document import Box, Float32Array

# Where a turned page has its left and its upper edge: an edge of the MediaBox, and whether values grow away from it.
_LEFT, _BOTTOM, _RIGHT, _TOP = range(4)
_EDGES = {0: (_LEFT, _TOP), 90: (_BOTTOM, _LEFT), 180: (_RIGHT, _BOTTOM), 270: (_TOP, _RIGHT)}

# Beyond any page.
_FAR = 1e6


@dataclass(frozen=True, slots=True)
class PageFrame:
    """A page's MediaBox, and by how much the page is turned clockwise.

    Attributes:
        left: Of the MediaBox, like the next three, in PDF's own coordinates, in which y grows upwards.
        bottom: Its lower edge.
        right: Its right edge.
        top: Its upper edge.
        rotation: 0, 90, 180 or 270 degrees.
    """

    left: float
    bottom: float
    right: float
    top: float
    rotation: int = 0

    @classmethod
    def of(cls, pdf: pypdfium2.PdfDocument, number: int, page: pypdfium2.PdfPage) -> "PageFrame":
        """Return the frame of a page, whose number counts from 0; `pdf` is not to be saved afterwards.

        PDFium tells a page's own MediaBox but none that it has from its ancestors. Of those it tells what the CropBox
        leaves, so that is widened, and takes effect when the page is loaded again.

        Raises:
            PdfiumError: The page cannot be read.
        """
        box = page.get_mediabox(fallback_ok=False)
        if box is None:
            page.set_cropbox(-_FAR, -_FAR, _FAR, _FAR)
            with closing(pdf[number]) as widened:
                box = widened.get_bbox()
        left, right = sorted((box[0], box[2]))
        bottom, top = sorted((box[1], box[3]))
        return cls(left, bottom, right, top, page.get_rotation())

    @property
    def size(self) -> tuple[float, float]:
        """Width and height of the turned page."""
        width, height = self.right - self.left, self.top - self.bottom
        return (height, width) if self.rotation in (90, 270) else (width, height)

    def seen(self, rectangles: Float32Array) -> Float32Array:
        """Turn rectangles into boxes.

        Args:
            rectangles: Float32 `[rectangles, 4]`: left, top, right, bottom as PDFium gives them.

        Returns:
            Float32 `[rectangles, 4]`: x0, top, x1, bottom.
        """
        across, down = _EDGES[self.rotation]
        x, y = self._distances(rectangles, across), self._distances(rectangles, down)
        return np.stack((x.min(axis=1), y.min(axis=1), x.max(axis=1), y.max(axis=1)), axis=1).astype(np.float32)

    def _distances(self, rectangles: Float32Array, edge: int) -> Float32Array:
        """Return how far the rectangles' two edges are from one of the page: float32 `[rectangles, 2]`."""
        along = rectangles[:, [0, 2]] if edge in (_LEFT, _RIGHT) else rectangles[:, [1, 3]]
        if edge in (_LEFT, _BOTTOM):
            return along - np.float32((self.left, self.bottom)[edge])
        return np.float32((self.right, self.top)[edge - 2]) - along

    def in_file(self, box: Box) -> raw.FS_RECTF:
        """Return a box in PDF's own coordinates."""
        across, down = _EDGES[self.rotation]
        edges = dict.fromkeys(range(4), 0.0)
        for edge, near, far in ((across, box.x0, box.x1), (down, box.top, box.bottom)):
            if edge in (_LEFT, _BOTTOM):
                begin = (self.left, self.bottom)[edge]
                edges[edge], edges[edge + 2] = begin + near, begin + far
            else:
                begin = (self.right, self.top)[edge - 2]
                edges[edge], edges[edge - 2] = begin - near, begin - far
        return raw.FS_RECTF(edges[_LEFT], edges[_TOP], edges[_RIGHT], edges[_BOTTOM])
