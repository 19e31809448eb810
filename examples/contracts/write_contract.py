"""Write the contract of docs/bulk.md: two pages whose clauses the demo models can read. It needs reportlab.

python -m examples.contracts.write_contract examples/contracts/supply-agreement.pdf
"""

import sys
from pathlib import Path

from reportlab.lib.enums import TA_JUSTIFY
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import ParagraphStyle
from reportlab.lib.units import cm
from reportlab.platypus import BaseDocTemplate, Frame, PageBreak, PageTemplate, Paragraph, Spacer

PARTS: list[tuple[str, list[str]]] = [
    (
        "1. Parties",
        [
            "Bruno Whitaker is the managing director of Osprey Cooperative. Copper & Nygård, hereinafter the Buyer, is "
            "controlled by Baltic Instruments.",
        ],
    ),
    (
        "2. The project",
        [
            "Maria Okafor leads Project Heron. It has a budget of 4 million euros. The parties shall tell each other "
            "without delay of whatever may keep them from their duties under this agreement.",
        ],
    ),
    (
        "3. Place of delivery",
        [
            "Miareis Station is situated in Casablanca. Takahashi House, designed by Diana Bianchi, stands in "
            "Longyearbyen. Goods that are delivered elsewhere count as not delivered.",
        ],
    ),
    (
        "4. Termination",
        [
            "The notice period is three months. Notice shall be given in writing. The clause on liability outlasts the "
            "agreement, and so do the duties of both parties to keep to themselves what they have learned.",
        ],
    ),
]
_PAGE_BREAK_BEFORE = 2

_TITLE = ParagraphStyle("title", fontName="Helvetica-Bold", fontSize=18, leading=22, spaceAfter=14)
_HEADING = ParagraphStyle("heading", fontName="Helvetica-Bold", fontSize=12, leading=15, spaceBefore=12, spaceAfter=4)
_BODY = ParagraphStyle("body", fontName="Times-Roman", fontSize=11, leading=14, alignment=TA_JUSTIFY)


def write_contract(path: Path) -> None:
    """Write the contract; the same bytes each time."""
    document = BaseDocTemplate(str(path), pagesize=A4, title="Supply agreement", author="", invariant=True)
    width, height = A4
    document.addPageTemplates(PageTemplate(frames=[Frame(3 * cm, 3 * cm, width - 6 * cm, height - 6 * cm)]))
    story = [Paragraph("Supply agreement", _TITLE)]
    for number, (heading, clauses) in enumerate(PARTS):
        if number == _PAGE_BREAK_BEFORE:
            story.append(PageBreak())
        story.append(Paragraph(heading, _HEADING))
        for clause in clauses:
            story += [Paragraph(clause.replace("&", "&amp;"), _BODY), Spacer(1, 6)]
    document.build(story)


if __name__ == "__main__":
    write_contract(Path(sys.argv[1]))
