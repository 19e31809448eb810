"""The text of an HTML page as it is read: blocks on lines of their own, an empty line between paragraphs."""

from resiliparse.extract.html2text import extract_plain_text
from resiliparse.parse.encoding import bytes_to_str, detect_encoding

_NOT_SHOWN = ("[hidden]",)


def html_text(content: bytes) -> str:
    """Return the text of a page, whatever its markup is worth; without title, scripts and values of forms.

    Args:
        content: UTF-8; otherwise what the page says of itself, or what its bytes look like.
    """
    try:
        source = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        source = bytes_to_str(content, detect_encoding(content, from_html_meta=True) or "utf-8")
    text = extract_plain_text(source, list_bullets=False, alt_texts=False, skip_elements=_NOT_SHOWN)
    return "\n".join(line.strip() for line in text.split("\n")).strip()
