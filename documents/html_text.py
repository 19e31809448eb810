"""The text of an HTML page as it is read: blocks on lines of their own, an empty line between paragraphs."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

_NOT_SHOWN = ("[hidden]", '[style*="display:none" i]', '[style*="display: none" i]')
# Begins each other alphabet in ISO-2022-JP, which is made of the bytes of ASCII, and stands in no text in UTF-8.
_ESCAPE = b"\x1b"


def html_text(content: bytes) -> str:
    """Return the text of a page, whatever its markup is worth; without title, scripts and values of forms.

    Args:
        content: UTF-8; otherwise what the page says of itself, or what its bytes look like.
    """
    try:
        source = _declared(content) if _ESCAPE in content else content.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = _declared(content)
    text = extract_plain_text(source, list_bullets=False, alt_texts=False, skip_elements=_NOT_SHOWN)
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def _declared(content: bytes) -> str:
    return bytes_to_str(content, detect_encoding(content, from_html_meta=True) or "utf-8")
