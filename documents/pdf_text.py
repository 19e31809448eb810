"""The text of a PDF, with the box of each character, as PDFium gives both.

PDFium reads characters in the order in which the file draws them, which is how columns stay apart; it puts spaces and
line ends where gaps show them, right-to-left text in the order of reading, and the letters of a ligature with the
ligature's box each. What is decided here:

- A hyphen at a line's end that PDFium takes for a division is left out where a small letter follows, and the word goes
  on without a line feed; otherwise it stays. Soft hyphens are left out everywhere.
- An empty line stands between pages, and between lines of a page where their distance or the size of their letters
  shows that a paragraph ends.
- Control characters are left out. A glyph of which the file does not say what character it is, is U+FFFD.
- Form fields and text boxes are read as they are shown.
"""

import contextlib
import ctypes
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
import pypdfium2
from numpy.typing import NDArray
from pypdfium2 import raw

from documents.document import Document, Float32Array, Page
from documents.errors import DocumentError
from documents.limits import Limits
from documents.page_frame import PageFrame

Codes = NDArray[np.uint32]

_SPACE, _LINE_FEED, _RETURN, _HYPHEN, _SOFT_HYPHEN = 0x20, 0x0A, 0x0D, 0x2D, 0xAD
_REPLACEMENT = 0xFFFD
# What PDFium may give for a hyphen at a line's end.
_HYPHENS = (0x02, _HYPHEN, _SOFT_HYPHEN, 0x2010, 0xFFFE)
_DRAWN_ANNOTATIONS = frozenset((raw.FPDF_ANNOT_WIDGET, raw.FPDF_ANNOT_FREETEXT))
# A paragraph ends where the gap to the next line is so many heights of a line more than usual on the page, or where
# letters are so many times larger.
_WIDER_GAP, _LARGER = 0.35, 1.25
_LEAST_GAP = 0.5
# How much a line may rise or fall and still be level.
_LEVEL = 0.01
# Columns of rectangles and of boxes.
_TOP, _BOTTOM = 1, 3


@dataclass(slots=True, eq=False)
class _Line:
    """A line of a page: its characters, and whether the next one continues its last word."""

    codes: Codes
    boxes: Float32Array
    continued: bool = False

    @property
    def edges(self) -> tuple[float, float]:
        """Upper and lower edge: the medians of its characters'."""
        seen = self.boxes[~np.isnan(self.boxes[:, 0])]
        if not len(seen):
            return 0.0, 0.0
        top, bottom = np.median(seen[:, [_TOP, _BOTTOM]], axis=0).tolist()
        return top, bottom


def read_pdf(source: Path | bytes, limits: Limits) -> Document:
    """Read a PDF.

    Raises:
        DocumentError: It cannot be read, has too many pages, or holds no text.
    """
    with closing(open_pdf(source)) as pdf:
        count = len(pdf)
        if count > limits.pages:
            raise DocumentError(f"{count:,} pages are more than {limits.pages:,}; split it, or raise --max-pages")
        if pdf.get_formtype() != raw.FORMTYPE_NONE:
            pdf.init_forms()
        text = _PagedText(limits.characters)
        for number in range(count):
            try:
                with closing(pdf[number]) as page:
                    frame = PageFrame.of(pdf, number, page)
                    if _draw_annotations(page):
                        # Loaded again, the page holds what was drawn.
                        with closing(pdf[number]) as drawn:
                            lines = _lines(drawn, frame)
                    else:
                        lines = _lines(page, frame)
                text.add_page(frame.size, lines)
            except pypdfium2.PdfiumError:
                raise DocumentError(
                    f"page {number + 1} of {count} cannot be read; repair the file, for example with qpdf"
                ) from None
    if not text.has_characters:
        raise DocumentError(
            f"no text on {count} page{'s' if count > 1 else ''}, so they are pictures; recognise their text first, for "
            "example with ocrmypdf"
        )
    return text.document()


def open_pdf(source: Path | bytes) -> pypdfium2.PdfDocument:
    """Open a PDF that needs no password.

    Raises:
        DocumentError: It cannot be opened.
    """
    # PDFium may leave the reason of an earlier failure standing; of these bytes it says that they are not a PDF.
    with contextlib.suppress(pypdfium2.PdfiumError):
        pypdfium2.PdfDocument(b"none")
    try:
        return pypdfium2.PdfDocument(source)
    except pypdfium2.PdfiumError as error:
        if error.err_code == raw.FPDF_ERR_PASSWORD:
            raise DocumentError("encrypted; save a copy without a password, for example with qpdf --decrypt") from None
        if error.err_code == raw.FPDF_ERR_SECURITY:
            raise DocumentError("encrypted in a way that cannot be read; save a copy without protection") from None
        raise DocumentError("a broken PDF; repair it, for example with qpdf, or save it again in a viewer") from None


class _PagedText:
    """The text of a document, as it grows page by page."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._codes: list[Codes] = []
        self._boxes: list[Float32Array] = []
        self._line_starts: list[int] = []
        self._pages: list[Page] = []
        self._length = 0

    @property
    def has_characters(self) -> bool:
        return self._length > 0

    def add_page(self, size: tuple[float, float], lines: Sequence[_Line]) -> None:
        """Add the lines of the next page."""
        start = end = self._length
        if lines and self._length:
            self._break(2)
            start = end = self._length
        breaks = _breaks(lines)
        for line, feeds in zip(lines, breaks, strict=True):
            self._break(feeds)
            self._line_starts.append(self._length)
            self._append(line.codes, line.boxes)
            end = self._length
        self._pages.append(Page(start, end, *size))

    def _break(self, feeds: int) -> None:
        self._append(np.full(feeds, _LINE_FEED, np.uint32), np.full((feeds, 4), np.nan, np.float32))

    def _append(self, codes: Codes, boxes: Float32Array) -> None:
        self._codes.append(codes)
        self._boxes.append(boxes)
        self._length += len(codes)
        if self._length > self._most:
            raise DocumentError(f"more than {self._most:,} characters of text; split it")

    def document(self) -> Document:
        text = np.concatenate(self._codes).astype("<u4").tobytes().decode("utf-32-le")
        return Document(text, self._pages, np.concatenate(self._boxes), np.array(self._line_starts, np.int64))


def _breaks(lines: Sequence[_Line]) -> list[int]:
    """Return how many line feeds stand before each line of a page."""
    edges = [line.edges for line in lines]
    heights = [bottom - top for top, bottom in edges]
    gaps = [below[0] - above[1] for above, below in pairwise(edges)]
    downwards = [gap for gap, height in zip(gaps, heights, strict=False) if -height < gap < 3 * height]
    usual = max(float(np.median(downwards)), 0.0) if downwards else 0.0
    feeds = [0]
    for number, gap in enumerate(gaps):
        low, high = sorted(heights[number : number + 2])
        ends = gap > max(usual + _WIDER_GAP * high, _LEAST_GAP * high) or high > _LARGER * low
        feeds.append(0 if lines[number].continued else 2 if ends else 1)
    return feeds[: len(lines)]


def _lines(page: pypdfium2.PdfPage, frame: PageFrame) -> list[_Line]:
    """Return the lines of a page that hold anything, in PDFium's order."""
    with closing(page.get_textpage()) as text:
        codes, boxes, hyphens = _characters(text, frame)
    found = []
    for begin, end in _line_spans(codes, hyphens):
        line = _line(codes, boxes, begin, end, hyphens)
        if len(line.codes):
            found.append(line)
    return found


def _draw_annotations(page: pypdfium2.PdfPage) -> bool:
    """Make form fields and text boxes part of what the page draws; return whether it has any."""
    for number in range(raw.FPDFPage_GetAnnotCount(page)):
        annotation = raw.FPDFPage_GetAnnot(page, number)
        kind = raw.FPDFAnnot_GetSubtype(annotation)
        raw.FPDFPage_CloseAnnot(annotation)
        if kind in _DRAWN_ANNOTATIONS:
            return bool(raw.FPDFPage_Flatten(page, raw.FLAT_NORMALDISPLAY) == raw.FLATTEN_SUCCESS)
    return False


def _characters(text: pypdfium2.PdfTextPage, frame: PageFrame) -> tuple[Codes, Float32Array, set[int]]:
    """Return code points, boxes and the places of hyphens at lines' ends."""
    handle, count = text.raw, text.count_chars()
    codes = np.fromiter((raw.FPDFText_GetUnicode(handle, index) for index in range(count)), np.uint32, count)
    boxes = frame.seen(_rectangles(handle, count))
    # PDFium does not mark all the spaces that it makes up: those of right-to-left text have only no width.
    flat = (boxes[:, 0] == boxes[:, 2]) | (boxes[:, 1] == boxes[:, 3])
    for index in np.flatnonzero(np.isin(codes, (_SPACE, _LINE_FEED, _RETURN))).tolist():
        if flat[index] or raw.FPDFText_IsGenerated(handle, index) == 1:
            boxes[index] = np.nan
    candidates = np.flatnonzero(np.isin(codes, _HYPHENS)).tolist()
    hyphens = {index for index in candidates if raw.FPDFText_IsHyphen(handle, index) == 1}
    return codes, boxes, hyphens


def _rectangles(text: raw.FPDF_TEXTPAGE, count: int) -> Float32Array:
    """Return left, top, right and bottom of each character, in PDF's coordinates: float32 `[characters, 4]`.

    A character is as wide as it moves the pen, and as high as its font's size, upwards from where the font's lowest
    letters end: boxes of one line are alike, and those of neighbouring lines do not cover each other.
    """
    rectangle, matrix = raw.FS_RECTF(), raw.FS_MATRIX()
    to_rectangle, to_matrix = ctypes.byref(rectangle), ctypes.byref(matrix)
    rectangles, matrices = bytearray(), bytearray()
    sizes = np.empty(count, np.float32)
    for index in range(count):
        raw.FPDFText_GetLooseCharBox(text, index, to_rectangle)
        raw.FPDFText_GetMatrix(text, index, to_matrix)
        sizes[index] = raw.FPDFText_GetFontSize(text, index)
        rectangles += rectangle
        matrices += matrix
    found = np.frombuffer(rectangles, np.float32).reshape(count, 4)
    along_y, up_x, up_y = np.frombuffer(matrices, np.float32).reshape(count, 6)[:, 1:4].T
    upright = np.abs(along_y) < _LEVEL * np.abs(up_y)
    found[upright, _TOP] = (found[:, _BOTTOM] + sizes * up_y)[upright]
    for index in np.flatnonzero(~upright).tolist():
        found[index] = _turned(text, index, sizes[index] * up_x[index], sizes[index] * up_y[index])
    return found


def _turned(text: raw.FPDF_TEXTPAGE, index: int, up_x: float, up_y: float) -> tuple[float, float, float, float]:
    """Return the rectangle around a character that is set at an angle; NaN where there is none.

    Args:
        text: The page's.
        index: Of the character.
        up_x: How far its font's size reaches to the right.
        up_y: How far it reaches upwards.
    """
    left, right, bottom, top = (ctypes.c_double() for _ in range(4))
    if not raw.FPDFText_GetCharBox(text, index, left, right, bottom, top):
        return (np.nan,) * 4
    x, y, descent = ctypes.c_double(), ctypes.c_double(), ctypes.c_float()
    raw.FPDFText_GetCharOrigin(text, index, x, y)
    font = raw.FPDFTextObj_GetFont(raw.FPDFText_GetTextObject(text, index))
    raw.FPDFFont_GetDescent(font, 1.0, descent)
    xs = [left.value, right.value, *(x.value + up_x * part for part in (descent.value, 1 + descent.value))]
    ys = [bottom.value, top.value, *(y.value + up_y * part for part in (descent.value, 1 + descent.value))]
    return min(xs), max(ys), max(xs), min(ys)


def _line_spans(codes: Codes, hyphens: set[int]) -> Iterator[tuple[int, int]]:
    """Yield where lines begin and end; a line that ends with a hyphen holds it."""
    begin = 0
    ends = np.flatnonzero(np.isin(codes, (_LINE_FEED, _RETURN))).tolist()
    for end in sorted({*ends, *(place + 1 for place in hyphens), len(codes)}):
        yield begin, end
        begin = end


def _line(codes: Codes, boxes: Float32Array, begin: int, end: int, hyphens: set[int]) -> _Line:
    """Return a line with the characters that are text."""
    following = codes[end] if end < len(codes) else _LINE_FEED
    continued = end - 1 in hyphens and following not in (_LINE_FEED, _RETURN)
    codes, boxes = codes[begin:end].copy(), boxes[begin:end]
    if continued:
        codes[-1] = _SOFT_HYPHEN if chr(following).islower() else _HYPHEN
    codes[codes == 0] = _REPLACEMENT
    codes[codes == 0x09] = _SPACE
    codes, boxes = _without_surrogates(codes, boxes)
    control = (codes < _SPACE) | ((codes >= 0x7F) & (codes < 0xA0))
    noncharacter = (codes & 0xFFFE) == 0xFFFE
    kept = ~(control | noncharacter | (codes == _SOFT_HYPHEN))
    codes, boxes = codes[kept], boxes[kept]
    visible = np.flatnonzero(codes != _SPACE)
    if not len(visible):
        return _Line(codes[:0], boxes[:0])
    first, last = visible[0], visible[-1] + 1
    return _Line(codes[first:last], boxes[first:last], continued)


def _without_surrogates(codes: Codes, boxes: Float32Array) -> tuple[Codes, Float32Array]:
    """Join the halves of UTF-16 pairs; a half alone is U+FFFD."""
    halves = (codes >= 0xD800) & (codes < 0xE000)
    if not halves.any():
        return codes, boxes
    kept = np.ones(len(codes), bool)
    for index in np.flatnonzero(halves & (codes < 0xDC00)):
        low = codes[index + 1] if index + 1 < len(codes) else 0
        if 0xDC00 <= low < 0xE000:
            codes[index] = 0x10000 + ((codes[index] - 0xD800) << 10) + (low - 0xDC00)
            kept[index + 1] = False
    codes[(codes >= 0xD800) & (codes < 0xE000)] = _REPLACEMENT
    return codes[kept], boxes[kept]
