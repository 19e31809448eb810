"""Write PDFs of our own with ReportLab and pikepdf, each for one thing: `python write_pdfs.py FOLDER FONT`.

The font is a TrueType font with Latin, Greek, Cyrillic and Hebrew letters. Runs in an environment of its own, which has
these libraries.
"""

import sys
from collections.abc import Callable
from pathlib import Path

import pikepdf
from PIL import Image, ImageDraw
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.utils import ImageReader
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate, Paragraph, Table

WIDTH, HEIGHT = A4
LINES = (
    "The tenant pays 1,250 euros on the first working day of each month, in advance and without deduction.",
    "Either party may end this lease with three months' notice; the landlord must state a reason for it.",
    "The deposit of three months' rent is kept in an account that bears interest in favour of the tenant.",
    "Repairs under 100 euros are borne by the tenant, but not more than 400 euros in any calendar year.",
    "Affluent offices find the efficient flow of traffic difficult; first-floor offices suffer less of it.",
)
LONG_PAGES = 1_200
OLD_ENCRYPTION = pikepdf.Encryption(owner="owner", user="user", R=3, aes=False, metadata=False)


ANNEX = tuple(
    f"Annex {number}: {line}"
    for number, line in enumerate(
        (
            "the keys to the cellar are kept by the caretaker, who lives on the ground floor.",
            "bicycles stand in the yard, never in the hall; prams may stand below the stairs.",
            "the heating is read in the last week of December by a company named in writing.",
            "music is played no longer than two hours a day, and not between noon and three.",
        ),
        start=1,
    )
)


def canvas(file: Path, size: tuple[float, float] = A4) -> Canvas:
    return Canvas(str(file), pagesize=size, invariant=True)


def write_lines(sheet: Canvas, lines: tuple[str, ...], top: float, size: float = 11, font: str = "Helvetica") -> None:
    sheet.setFont(font, size)
    for number, line in enumerate(lines):
        sheet.drawString(60, top - 1.5 * size * number, line)


def lease(file: Path, size: tuple[float, float] = A4) -> None:
    """Two pages of plain lines."""
    sheet = canvas(file, size)
    for page in (1, 2):
        write_lines(sheet, (f"Lease, page {page}", *LINES), size[1] - 80)
        write_lines(sheet, ANNEX, size[1] / 2, font="Times-Roman")
        sheet.showPage()
    sheet.save()


def landscape(degrees: int) -> Callable[[Path], None]:
    """Return a writer of a wide page that is stored as a high one, and turned to be read."""

    def write(file: Path) -> None:
        sheet = canvas(file)
        sheet.setPageRotation(degrees)
        sheet.translate(*((WIDTH, 0) if degrees == 90 else (0, HEIGHT)))
        sheet.rotate(degrees)
        write_lines(sheet, (*LINES, *ANNEX), WIDTH - 80)
        sheet.save()

    return write


def changed(change: Callable[[pikepdf.Pdf], None], **options: object) -> Callable[[Path], None]:
    """Return a writer of the lease with a change, saved with options of pikepdf."""

    def write(file: Path) -> None:
        lease(file)
        with pikepdf.open(file, allow_overwriting_input=True) as document:
            change(document)
            document.save(file, deterministic_id="encryption" not in options, **options)  # type: ignore[arg-type]

    return write


def nothing(document: pikepdf.Pdf) -> None:
    """Change nothing."""


def turn(degrees: int) -> Callable[[pikepdf.Pdf], None]:
    def change(document: pikepdf.Pdf) -> None:
        for page in document.pages:
            page.Rotate = degrees

    return change


def crop(document: pikepdf.Pdf) -> None:
    for page in document.pages:
        page.mediabox = [-20, -30, WIDTH + 40, HEIGHT + 10]
        page.cropbox = [30, 40, WIDTH - 10, HEIGHT - 20]


def crop_and_turn(document: pikepdf.Pdf) -> None:
    crop(document)
    turn(90)(document)


def attach(document: pikepdf.Pdf) -> None:
    document.attachments["figures.csv"] = b"rent,1250\ndeposit,3750\n"


def no_pages(document: pikepdf.Pdf) -> None:
    del document.pages[:]


def form(file: Path) -> None:
    sheet = canvas(file)
    write_lines(sheet, ("Name of the tenant:", "Street and number:", "I have read the house rules"), HEIGHT - 80)
    for number, (name, value) in enumerate((("tenant", "Maria Okafor"), ("street", "14 Harbour Road"))):
        sheet.acroForm.textfield(name=name, value=value, x=220, y=HEIGHT - 84 - 16.5 * number, width=200, height=14)
    sheet.acroForm.checkbox(name="rules", checked=True, x=220, y=HEIGHT - 118, size=12)
    write_lines(sheet, LINES, HEIGHT - 200)
    sheet.save()


def columns(file: Path) -> None:
    """Justified, in two columns, with words that are broken at the ends of lines."""
    style = getSampleStyleSheet()["BodyText"].clone("column", alignment=4, embeddedHyphenation=1)
    text = " ".join(LINES).replace("calendar", "calen\u00addar").replace("deduction", "deduc\u00adtion")
    frames = [Frame(left, 50, WIDTH / 2 - 60, HEIGHT - 100) for left in (50, WIDTH / 2 + 10)]
    document = BaseDocTemplate(str(file), pagesize=A4, invariant=1)
    document.addPageTemplates(PageTemplate(frames=frames))
    document.build([Paragraph(f"Clause {number}. {text}", style) for number in range(1, 15)])


def table(file: Path) -> None:
    rows = [["Month", "Rent", "Heating"], *([f"Month {n}", f"{1250 + n},00", f"{80 + n},50"] for n in range(1, 25))]
    document = BaseDocTemplate(str(file), pagesize=A4, invariant=1)
    document.addPageTemplates(PageTemplate(frames=[Frame(50, 50, WIDTH - 100, HEIGHT - 100)]))
    document.build([Table(rows, style=[("GRID", (0, 0), (-1, -1), 0.5, "black")])])


def long(file: Path) -> None:
    sheet = canvas(file)
    for page in range(1, LONG_PAGES + 1):
        write_lines(sheet, (f"Page {page} of {LONG_PAGES}", LINES[page % len(LINES)]), HEIGHT - 80)
        sheet.showPage()
    sheet.save()


def slanted(file: Path) -> None:
    """Lines at angles, as on maps and in the margins of preprints."""
    sheet = canvas(file)
    write_lines(sheet, LINES, HEIGHT - 80)
    for degrees, left, bottom, line in ((90, 40, 200, LINES[1]), (270, WIDTH - 40, 700, LINES[2])):
        sheet.saveState()
        sheet.translate(left, bottom)
        sheet.rotate(degrees)
        sheet.setFont("Times-Roman", 10)
        sheet.drawString(0, 0, line)
        sheet.restoreState()
    sheet.save()


def letters_apart(file: Path) -> None:
    """Letters with space between them, and words without the character of a space."""
    sheet = canvas(file)
    for number, line in enumerate(LINES):
        text = sheet.beginText(60, HEIGHT - 80 - 20 * number)
        text.setFont("Helvetica", 9)
        text.setCharSpace(0.8)
        text.textOut(line[:60])
        sheet.drawText(text)
        left = 60.0
        for word in line.split()[:9]:
            sheet.setFont("Times-Roman", 11)
            sheet.drawString(left, HEIGHT - 300 - 20 * number, word)
            left += pdfmetrics.stringWidth(word, "Times-Roman", 11) + 3
    sheet.save()


def embedded_font(file: Path) -> None:
    """A subset of a TrueType font: Latin, Greek, Cyrillic, and Hebrew as it is drawn, from the left."""
    pdfmetrics.registerFont(TTFont("DejaVu", sys.argv[2]))
    sheet = canvas(file)
    hebrew = "חוזה שכירות בין המשכיר לבין השוכר"[::-1]
    lines = ("Η συμφωνία ισχύει για δύο χρόνια.", "Арендатор платит первого числа каждого месяца.", hebrew)
    write_lines(sheet, (*lines, "Crème brûlée, Straße, œuvre, ﬁnal ﬂow"), HEIGHT - 80, font="DejaVu")
    sheet.save()


def scanned(file: Path) -> None:
    """A picture of text."""
    sheet = canvas(file)
    sheet.drawImage(_picture(), 0, 0, WIDTH, HEIGHT)
    sheet.save()


def recognised(file: Path) -> None:
    """The picture of a page with its text, invisible, over it: what a scanner's software writes."""
    sheet = canvas(file)
    sheet.drawImage(_picture(), 0, 0, WIDTH, HEIGHT)
    for number, line in enumerate(LINES):
        text = sheet.beginText(60, HEIGHT - 80 - 20 * number)
        text.setFont("Helvetica", 11)
        text.setTextRenderMode(3)
        text.textOut(line)
        sheet.drawText(text)
    sheet.save()


def _picture() -> ImageReader:
    picture = Image.new("L", (595, 842), 255)
    ImageDraw.Draw(picture).text((60, 80), "\n".join(LINES), fill=0)
    return ImageReader(picture)


def sizes(file: Path) -> None:
    """From fine print to a headline, on a page of five metres."""
    sheet = canvas(file, (14_400, 14_400))
    top = 14_000.0
    for size in (4, 8, 16, 24):
        write_lines(sheet, LINES, top, size)
        top -= 400
    sheet.save()


def truncated(file: Path) -> None:
    """Half of a file, and of its last stream."""
    lease(file)
    file.write_bytes(file.read_bytes()[:1_200])


def wrong_table(file: Path) -> None:
    """The cross-references are not where the file says; readers look for the objects themselves."""
    lease(file)
    head, _, tail = file.read_bytes().rpartition(b"startxref")
    file.write_bytes(head + b"startxref\n7\n" + tail.partition(b"%%EOF")[1])


def not_a_pdf(file: Path) -> None:
    file.write_text("\n".join(LINES))


def empty(file: Path) -> None:
    file.write_bytes(b"")


READABLE: dict[str, Callable[[Path], None]] = {
    "own-lease": lease,
    "own-turned-90": changed(turn(90)),
    "own-turned-180": changed(turn(180)),
    "own-turned-270": changed(turn(270)),
    "own-landscape-90": landscape(90),
    "own-landscape-270": landscape(270),
    "own-cropped": changed(crop),
    "own-cropped-and-turned": changed(crop_and_turn),
    "own-attachment": changed(attach),
    "own-object-streams": changed(nothing, object_stream_mode=pikepdf.ObjectStreamMode.generate),
    "own-linearised": changed(nothing, linearize=True),
    "own-owner-password": changed(nothing, encryption=pikepdf.Encryption(owner="owner", user="")),
    "own-form": form,
    "own-columns": columns,
    "own-table": table,
    "own-long": long,
    "own-slanted": slanted,
    "own-letters-apart": letters_apart,
    "own-embedded-font": embedded_font,
    "own-recognised": recognised,
    "own-sizes": sizes,
    "own-wrong-table": wrong_table,
}
UNREADABLE: dict[str, Callable[[Path], None]] = {
    "own-password": changed(nothing, encryption=pikepdf.Encryption(owner="owner", user="user")),
    "own-old-password": changed(nothing, encryption=OLD_ENCRYPTION),
    "own-truncated": truncated,
    "own-scanned": scanned,
    "own-not-a-pdf": not_a_pdf,
    "own-empty": empty,
    "own-no-pages": changed(no_pages),
}


if __name__ == "__main__":
    for name, writer in {**READABLE, **UNREADABLE}.items():
        writer(Path(sys.argv[1]) / f"{name}.pdf")
