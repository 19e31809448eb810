"""A copy of a PDF in which passages are marked as a reader marks them: annotations over text that stays as it is."""

import ctypes
from collections import defaultdict
from collections.abc import Sequence
from contextlib import closing
from io import BytesIO
from itertools import groupby
from operator import attrgetter
from pathlib import Path

import pypdfium2
from pypdfium2 import raw

from documents.document import Mark
from documents.errors import DocumentError
from documents.page_frame import PageFrame
from documents.pdf_text import open_pdf

# Yellow, through which the text is read.
_RED, _GREEN, _BLUE, _OPACITY = 255, 225, 60, 255


def highlighted_pdf(source: Path | bytes, marks: Sequence[Mark]) -> bytes:
    """Return a PDF with an annotation for each passage and page; what it held before is in it byte for byte.

    Raises:
        DocumentError: The PDF cannot be read, or not be written.
    """
    on_pages: defaultdict[int, list[Mark]] = defaultdict(list)
    for mark in marks:
        for number, boxes in groupby(mark.boxes, key=attrgetter("page")):
            on_pages[number].append(Mark(list(boxes), mark.note))
    # Frames come from a second reading, because finding them changes pages.
    with closing(open_pdf(source)) as pdf, closing(open_pdf(source)) as measured:
        for number, own in sorted(on_pages.items()):
            with closing(measured[number - 1]) as page:
                frame = PageFrame.of(measured, number - 1, page)
            with closing(pdf[number - 1]) as page:
                if not all(_annotate(page, [frame.in_file(box) for box in mark.boxes], mark.note) for mark in own):
                    raise DocumentError(f"page {number} cannot be marked; print the file to a new PDF")
        written = BytesIO()
        pdf.save(written, flags=raw.FPDF_INCREMENTAL)
        return written.getvalue()


def _annotate(page: pypdfium2.PdfPage, places: Sequence[raw.FS_RECTF], note: str) -> bool:
    """Add an annotation over some rectangles; return whether that was possible."""
    annotation = raw.FPDFPage_CreateAnnot(page, raw.FPDF_ANNOT_HIGHLIGHT)
    if not annotation:
        return False
    around = raw.FS_RECTF(
        min(place.left for place in places),
        max(place.top for place in places),
        max(place.right for place in places),
        min(place.bottom for place in places),
    )
    text = ctypes.create_string_buffer(note.encode("utf-16-le", "replace") + b"\0\0")
    try:
        return bool(
            raw.FPDFAnnot_SetColor(annotation, raw.FPDFANNOT_COLORTYPE_Color, _RED, _GREEN, _BLUE, _OPACITY)
            and raw.FPDFAnnot_SetRect(annotation, around)
            and raw.FPDFAnnot_SetFlags(annotation, raw.FPDF_ANNOT_FLAG_PRINT)
            and raw.FPDFAnnot_SetStringValue(annotation, b"Contents", ctypes.cast(text, raw.FPDF_WIDESTRING))
            and all(raw.FPDFAnnot_AppendAttachmentPoints(annotation, _corners(place)) for place in places)
        )
    finally:
        raw.FPDFPage_CloseAnnot(annotation)


def _corners(place: raw.FS_RECTF) -> raw.FS_QUADPOINTSF:
    left, top, right, bottom = place.left, place.top, place.right, place.bottom
    return raw.FS_QUADPOINTSF(left, top, right, top, left, bottom, right, bottom)
