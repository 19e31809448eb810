"""The text of an HTML document as it is read: without tags, scripts and styles, a line for each block."""

import re
from html.parser import HTMLParser

# What a browser lays out below what was before; everything else flows within its line.
_BLOCK_NAMES = (
    "address article aside blockquote body br caption center dd details dialog div dl dt fieldset figcaption figure "
    "footer form h1 h2 h3 h4 h5 h6 head header hr html legend li main menu nav ol option p pre section summary table "
    "tbody td tfoot th thead title tr ul"
)
_BLOCKS = frozenset(_BLOCK_NAMES.split())
_NOT_READ = frozenset(("script", "style", "template", "noscript", "svg", "math"))
_SPACE = re.compile(r"[ \t\n\r\f]+")
_AROUND_BREAKS = re.compile(r" ?\n[ \n]*")


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.parts: list[str] = []
        self._unread: list[str] = []

    def handle_starttag(self, tag: str, attrs: object) -> None:
        if tag in _NOT_READ:
            self._unread.append(tag)
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        if tag in _BLOCKS:
            self.parts.append("\n")

    def handle_endtag(self, tag: str) -> None:
        if self._unread and tag == self._unread[-1]:
            self._unread.pop()
        elif tag in _BLOCKS:
            self.parts.append("\n")

    def handle_data(self, data: str) -> None:
        if not self._unread:
            self.parts.append(_SPACE.sub(" ", data))


def html_text(source: str) -> str:
    """Return the text of a document, whatever its markup is worth.

    Runs of white space are one space, and blocks, cells of tables included, begin on a line of their own.
    """
    parser = _Text()
    parser.feed(source)
    parser.close()
    text = re.sub(r" {2,}", " ", "".join(parser.parts))
    return _AROUND_BREAKS.sub("\n", text).strip()
