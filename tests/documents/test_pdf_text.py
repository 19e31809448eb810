"""Texts and boxes of PDFs that are drawn here; widths of letters are reportlab's, heights are the font's size."""

from collections.abc import Callable
from io import BytesIO

import pytest
from reportlab.lib.pdfencrypt import StandardEncryption
from reportlab.pdfbase import pdfmetrics
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.pdfbase.ttfonts import TTFont
from reportlab.pdfgen.canvas import Canvas

from documents.document import Document
from documents.errors import DocumentError
from documents.limits import Limits
from documents.reading import read_document

WIDTH, HEIGHT = 600, 800
FONT, SIZE = "Helvetica", 12
# Of Helvetica, from Adobe's metrics; PDFium's substitute is a few hundredths of an em off.
DESCENT = 0.207 * SIZE
NEAR = 0.6


def drawn(draw: Callable[[Canvas], None], **options: object) -> bytes:
    content = BytesIO()
    canvas = Canvas(content, pagesize=(WIDTH, HEIGHT), **options)
    canvas.setFont(FONT, SIZE)
    draw(canvas)
    canvas.save()
    return content.getvalue()


def lines(*texts: str, first: float = 700, pitch: float = 15) -> Callable[[Canvas], None]:
    def draw(canvas: Canvas) -> None:
        for number, text in enumerate(texts):
            canvas.drawString(72, first - number * pitch, text)

    return draw


def read(content: bytes, limits: Limits | None = None) -> Document:
    return read_document(content, "pdf", limits or Limits())


def located(document: Document, passage: str) -> list[tuple[int, ...]]:
    start = document.text.index(passage)
    boxes = document.locate(start, start + len(passage))
    return [(box.page, box.x0, box.top, box.x1, box.bottom) for box in boxes]


def close(*box: float) -> object:
    return pytest.approx(box, abs=NEAR)


def test_a_passage_has_a_box_on_each_of_its_lines_and_a_divided_word_is_whole() -> None:
    document = read(drawn(lines("All of the par-", "ties agree.")))
    assert document.text == "All of the parties agree."
    begin = 72 + stringWidth("All of the ", FONT, SIZE)
    assert located(document, "parties") == [
        close(1, begin, HEIGHT - 700 + DESCENT - SIZE, begin + stringWidth("par", FONT, SIZE), HEIGHT - 700 + DESCENT),
        close(1, 72, HEIGHT - 685 + DESCENT - SIZE, 72 + stringWidth("ties", FONT, SIZE), HEIGHT - 685 + DESCENT),
    ]


def beside(x: float, y: float) -> dict[int, tuple[float, float]]:
    """Return how far a point is from the left and the upper edge of a page of 800 x 800 points, by its rotation."""
    return {0: (x, 800 - y), 90: (y, x), 180: (800 - x, y), 270: (800 - y, 800 - x)}


@pytest.mark.parametrize("rotation", [0, 90, 180, 270])
def test_boxes_are_where_a_turned_page_shows_them(rotation: int) -> None:
    content = BytesIO()
    # A square, because reportlab exchanges the sides of a page that it turns.
    canvas = Canvas(content, pagesize=(800, 800))
    canvas.setFont(FONT, SIZE)
    canvas.drawString(72, 700, "Bergen")
    canvas.setPageRotation(rotation)
    canvas.save()
    corners = [(72, 700 - DESCENT), (72 + stringWidth("Bergen", FONT, SIZE), 700 - DESCENT + SIZE)]
    (left, top), (right, bottom) = (beside(x, y)[rotation] for x, y in corners)
    expected = close(1, min(left, right), min(top, bottom), max(left, right), max(top, bottom))
    assert located(read(content.getvalue()), "Bergen") == [expected]


def test_a_space_that_nothing_draws_stands_nowhere_between_words_from_right_to_left_too() -> None:
    import matplotlib  # takes a while; it brings a font with Hebrew letters

    pdfmetrics.registerFont(TTFont("Hebrew", f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf"))
    words = ["חוזה", "שכירות", "בין"]

    def draw(canvas: Canvas) -> None:
        canvas.setFont("Hebrew", 11)
        x = 60.0
        for word in reversed(words):
            canvas.drawString(x, 700, word[::-1])
            x += stringWidth(word, "Hebrew", 11) + 4

    document = read(drawn(draw))
    assert document.text == " ".join(words)
    assert document.locate(len(words[0]), len(words[0]) + 1) == []


def test_an_empty_line_separates_paragraphs_and_pages() -> None:
    def draw(canvas: Canvas) -> None:
        lines("The notice period", "is three months.")(canvas)
        lines("It is given in writing.", first=650)(canvas)
        canvas.showPage()
        canvas.showPage()
        canvas.setFont(FONT, SIZE)
        lines("Signed in Bergen.")(canvas)

    document = read(drawn(draw))
    assert document.text == "The notice period\nis three months.\n\nIt is given in writing.\n\nSigned in Bergen."
    assert [document.text[page.start : page.end] for page in document.pages] == [
        "The notice period\nis three months.\n\nIt is given in writing.", "", "Signed in Bergen.",
    ]  # fmt: skip
    assert document.page_of(document.text.index("Signed")) == 3
    (box,) = located(document, "Bergen")
    assert box[0] == 3


def test_lines_far_apart_are_no_paragraphs_if_all_of_them_are() -> None:
    document = read(drawn(lines("One", "two", "three", pitch=36)))
    assert document.text == "One\ntwo\nthree"


def test_the_hyphen_of_a_compound_stays_at_a_lines_end() -> None:
    assert read(drawn(lines("in Austro-", "Hungarian times"))).text == "in Austro-Hungarian times"


def test_a_form_is_read_as_it_is_filled_in() -> None:
    def draw(canvas: Canvas) -> None:
        lines("Place:")(canvas)
        canvas.acroForm.textfield(name="place", value="Bergen", x=120, y=695, width=100, height=18, borderWidth=0)

    document = read(drawn(draw))
    assert document.text.split() == ["Place:", "Bergen"]
    ((page, x0, top, x1, bottom),) = located(document, "Bergen")
    assert page == 1 and x0 >= 120 and x1 <= 220 and top >= HEIGHT - 713 and bottom <= HEIGHT - 695


def picture(canvas: Canvas) -> None:
    canvas.rect(100, 100, 300, 300, fill=1)


SECRET = StandardEncryption("secret", strength=128)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        pytest.param(b"", "empty, 0 bytes", id="an empty file"),
        pytest.param(b"PK\x03\x04 no", "not a PDF", id="something else"),
        pytest.param(b"%PDF-1.7\n%nothing", "a broken PDF", id="a beginning"),
        pytest.param(drawn(lines("Bergen"), encrypt=SECRET), "encrypted; save a copy", id="a password"),
        pytest.param(drawn(picture), "no text on 1 page.*ocrmypdf", id="a scan"),
        pytest.param(drawn(lambda canvas: [canvas.showPage() for _ in range(3)]), "raise --max-pages", id="many pages"),
        pytest.param(b"%PDF-" + bytes(2_000_000), "raise --max-file-megabytes", id="a large file"),
        pytest.param(drawn(lines("word " * 30)), "more than 100 characters", id="a long text"),
    ],
)
def test_what_cannot_be_read_says_what_to_do(content: bytes, message: str) -> None:
    with pytest.raises(DocumentError, match=message):
        read(content, Limits(megabytes=1, pages=2, characters=100))


def test_a_password_of_the_owner_alone_keeps_nobody_from_reading() -> None:
    guarded = StandardEncryption("", ownerPassword="secret", strength=128)
    assert read(drawn(lines("Bergen"), encrypt=guarded)).text == "Bergen"
