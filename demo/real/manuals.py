"""The pages of Debian's manuals, which are HTML."""

from collections.abc import Iterator
from pathlib import Path

from bs4 import BeautifulSoup

from scripts.packages import files_of_debian_package

_PARAGRAPHS = "h1, h2, h3, h4, p, dt, li, div.para"
_NAVIGATION = ".docnav, .navheader, .navfooter, .toc"


def handbook(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the pages of the Debian Administrator's Handbook."""
    return _pages(package, "/debian-handbook/html/en-US/", ".html")


def history(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the chapters of Debian's history."""
    return _pages(package, "/debian-history/docs/", ".en.html")


def questions(package: Path) -> Iterator[tuple[str, str]]:
    """Yield names and texts of the chapters of Debian's frequent questions."""
    return _pages(package, "/debian/FAQ/", ".en.html")


def _pages(package: Path, folder: str, ending: str) -> Iterator[tuple[str, str]]:
    for name, content in files_of_debian_package(package):
        if folder in name and name.endswith(ending):
            yield Path(name).name, text_of(content)


def text_of(page: bytes) -> str:
    """Return the headings and paragraphs of a page, without what leads to other pages."""
    soup = BeautifulSoup(page, "html.parser")
    for navigation in soup.select(_NAVIGATION):
        navigation.decompose()
    blocks = [block.get_text() for block in soup.select(_PARAGRAPHS) if not block.select(_PARAGRAPHS)]
    return "\n\n".join(" ".join(block.split()) for block in blocks)
