"""The text of a DOCX: paragraphs, tables, headers, footers and notes.

python-docx opens the package and knows its parts. Its paragraphs leave out what stands in content controls, text boxes,
fields and insertions that nobody has accepted yet, so the text is read from the XML, in the order of the file. What was
deleted is left out. Which page something is on is known only when the document is laid out, so there are no pages.
"""

from collections.abc import Iterator
from io import BytesIO
from typing import Any

import docx
from docx.opc.constants import RELATIONSHIP_TYPE
from docx.oxml.ns import qn
from docx.oxml.parser import parse_xml

from documents.errors import DocumentError

_PARAGRAPH, _ROW, _CELL = qn("w:p"), qn("w:tr"), qn("w:tc")
_TEXTS = {qn("w:t"), "{http://schemas.openxmlformats.org/officeDocument/2006/math}t"}
_BREAKS = {qn("w:tab"): "\t", qn("w:ptab"): "\t", qn("w:br"): "\n", qn("w:cr"): "\n", qn("w:noBreakHyphen"): "-"}
# A second form of a drawing for older programs; the properties of paragraphs, whose `w:tab` is a tab stop; and what
# is moved away, as it is read where it was moved to.
_FALLBACK = "{http://schemas.openxmlformats.org/markup-compatibility/2006}Fallback"
_SKIPPED = {_FALLBACK, qn("w:pPr"), qn("w:del"), qn("w:moveFrom")}
_NOTES = (RELATIONSHIP_TYPE.FOOTNOTES, RELATIONSHIP_TYPE.ENDNOTES)
# Lines that Word draws above notes.
_SEPARATORS = frozenset(("separator", "continuationSeparator", "continuationNotice"))


def docx_text(content: bytes) -> str:
    """Return the text: headers, the body, notes, footers; an empty line between paragraphs, a line for a table's row.

    Raises:
        DocumentError: It cannot be opened, or holds no text.
    """
    try:
        text = _text(content)
    except MemoryError:
        raise
    except Exception:  # zipfile, lxml and python-docx raise what they like
        raise DocumentError("a broken DOCX; open it in a word processor and save it again") from None
    if not text:
        raise DocumentError("no text, so its pages are pictures or empty; recognise their text first")
    return text


def _text(content: bytes) -> str:
    document = docx.Document(BytesIO(content))
    headers, footers = _repeated(document, "header"), _repeated(document, "footer")
    notes = [block for kind in _NOTES for block in _notes(document.part, kind)]
    return "\n\n".join((*headers, *_blocks(document.element.body), *notes, *footers))


def _repeated(document: Any, place: str) -> list[str]:
    """Return what stands above or below every page, each text once."""
    found: dict[str, None] = {}
    for section in document.sections:
        for kind in (place, f"first_page_{place}", f"even_page_{place}"):
            part = getattr(section, kind)
            if not part.is_linked_to_previous:
                found.update(dict.fromkeys(_blocks(part._element)))
    return list(found)


def _notes(part: Any, kind: str) -> Iterator[str]:
    for relation in part.rels.values():
        if relation.reltype == kind and not relation.is_external:
            for note in parse_xml(relation.target_part.blob):
                if note.get(qn("w:type")) not in _SEPARATORS:
                    yield from _blocks(note)


def _blocks(parent: Any) -> Iterator[str]:
    """Yield the paragraphs and rows below an element that hold anything; cells are separated by tabs."""
    for element in parent:
        if element.tag in _SKIPPED:
            continue
        if element.tag == _PARAGRAPH:
            own, inner = _paragraph(element)
            if own.strip():
                yield own.strip()
            yield from inner
        elif element.tag == _ROW:
            cells = [(part.tag, " ".join(_blocks(part))) for part in element]
            if any(text for _, text in cells):
                # An empty cell keeps its place; the row's properties are none.
                yield "\t".join(text for tag, text in cells if text or tag == _CELL).rstrip("\t")
        else:
            yield from _blocks(element)


def _paragraph(element: Any) -> tuple[str, list[str]]:
    """Return a paragraph's own text, and the blocks of text boxes that are anchored in it."""
    parts: list[str] = []
    inner: list[str] = []

    def walk(parent: Any) -> None:
        for child in parent:
            if child.tag in _TEXTS:
                parts.append(child.text or "")
            elif child.tag in _BREAKS:
                parts.append(_BREAKS[child.tag])
            elif child.tag == _PARAGRAPH:
                own, deeper = _paragraph(child)
                inner.extend(block for block in (own.strip(), *deeper) if block)
            elif child.tag not in _SKIPPED:
                walk(child)

    walk(element)
    return "".join(parts), inner
