from io import BytesIO
from typing import Any

import docx
import pytest
from docx.opc.constants import CONTENT_TYPE, RELATIONSHIP_TYPE
from docx.opc.packuri import PackURI
from docx.opc.part import Part
from docx.oxml.ns import nsdecls
from docx.oxml.parser import parse_xml

from documents.docx_text import docx_text
from documents.errors import DocumentError

PARAGRAPH = (
    f"<w:p {nsdecls('w')}><w:pPr><w:tabs><w:tab w:val='left' w:pos='9'/></w:tabs></w:pPr>"
    "<w:r><w:t>The rent is </w:t></w:r>"
    "<w:del w:id='1' w:author='a'><w:r><w:delText>900</w:delText></w:r></w:del>"
    "<w:ins w:id='2' w:author='a'><w:r><w:t>950</w:t></w:r></w:ins>"
    "<w:sdt><w:sdtContent><w:r><w:t> euros</w:t></w:r></w:sdtContent></w:sdt>"
    "<w:r><w:tab/><w:t>a month.</w:t></w:r></w:p>"
)
ALIGNED_AND_FORMULA = (
    f"<w:p {nsdecls('w', 'm')}><w:r><w:t>Interest</w:t><w:ptab w:relativeTo='margin' w:alignment='right' "
    "w:leader='none'/></w:r><m:oMath><m:r><m:t>i=r/12</m:t></m:r></m:oMath></w:p>"
)
NOTES = (
    f"<w:footnotes {nsdecls('w')}>"
    "<w:footnote w:type='separator' w:id='0'><w:p><w:r><w:t>no</w:t></w:r></w:p></w:footnote>"
    "<w:footnote w:id='1'><w:p><w:r><w:t>Without heating.</w:t></w:r></w:p></w:footnote></w:footnotes>"
)


def saved(document: Any) -> bytes:
    content = BytesIO()
    document.save(content)
    return content.getvalue()


def test_everything_is_read_that_a_reader_sees_and_nothing_that_was_deleted() -> None:
    document = docx.Document()
    document.add_heading("Lease")
    document.element.body.insert(1, parse_xml(PARAGRAPH))
    document.element.body.insert(2, parse_xml(ALIGNED_AND_FORMULA))
    table = document.add_table(3, 2)
    for number, text in enumerate(("Term", "five years", "Deposit", "", "", "none")):
        table.cell(number // 2, number % 2).text = text
    document.sections[0].header.paragraphs[0].text = "Draft"
    document.sections[0].footer.paragraphs[0].text = "Confidential"
    document.add_section()
    notes = Part(PackURI("/word/footnotes.xml"), CONTENT_TYPE.WML_FOOTNOTES, NOTES.encode(), document.part.package)
    document.part.relate_to(notes, RELATIONSHIP_TYPE.FOOTNOTES)
    assert docx_text(saved(document)).split("\n\n") == [
        "Draft", "Lease", "The rent is 950 euros\ta month.", "Interest\ti=r/12", "Term\tfive years",
        "Deposit", "\tnone", "Without heating.", "Confidential",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (saved(docx.Document()), "no text"),
        (saved(docx.Document())[:2000], "a broken DOCX"),
        (b"PK\x03\x04", "a broken DOCX"),
    ],
    ids=["empty", "cut off", "a beginning"],
)
def test_what_cannot_be_read_says_what_to_do(content: bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        docx_text(content)
