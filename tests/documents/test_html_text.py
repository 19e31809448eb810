import pytest

from documents.html_text import html_text


def test_blocks_have_lines_of_their_own_and_paragraphs_empty_lines_between_them() -> None:
    source = b"""<!doctype html><title>No</title><script>var a = "<p>no</p>";</script><style>p {}</style>
    <h1>Lease   agree<b>ment</b></h1><p>Rent &amp; costs:<br>1,000 euros<p>Second <span hidden>no</span><!-- no -->
    <p style="color: red; Display: none">no</p><p style="display:none">no</p>
    <ul><li>one<li>two</ul><table><tr><td>Term<td>five years</table><p>Unclosed <i>text"""
    paragraphs = [part.split() for part in html_text(source).split("\n\n") if part]
    assert paragraphs == [
        ["Lease", "agreement"], ["Rent", "&", "costs:", "1,000", "euros"], ["Second"],
        ["one", "two", "Term", "five", "years"], ["Unclosed", "text"],
    ]  # fmt: skip
    assert "Rent & costs:\n1,000 euros" in html_text(source) and "one\ntwo" in html_text(source)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff<p>Größe".encode(),
        '<meta charset="windows-1252"><p>Größe'.encode("cp1252"),
        '<meta charset="iso-8859-2"><p>Größe'.encode("iso-8859-2"),
        "<p>\x1bGröße".encode(),
    ],
    ids=["UTF-8 with a mark", "Windows' encoding", "an ISO encoding", "UTF-8 with a terminal's escape"],
)
def test_a_page_may_say_how_it_is_encoded(content: bytes) -> None:
    assert html_text(content).strip("\x1b") == "Größe"


def test_japanese_in_seven_bits_is_not_taken_for_ascii() -> None:
    assert html_text('<meta charset="iso-2022-jp"><p>日本語の契約'.encode("iso-2022-jp")) == "日本語の契約"
