"""Lines of any length: they are drawn in parts, and nobody who reads or copies them can tell."""

from typing import Any

import pytest
from playwright.sync_api import expect

from tests.playground.conftest import OpenPage, ask, call, choose_task, open_file

pytestmark = pytest.mark.integration


def utf16(text: str) -> int:
    """Return how many UTF-16 units a text has."""
    return len(text.encode("utf-16-le")) // 2


def cuts_of(page: Any, text: str, findings: Any = ()) -> list[int]:
    """Return where the page would cut a text."""
    blocks = call(page, "cutting.js", "blocksOf", text, list(findings))
    assert [block["start"] for block in blocks] == [0, *(block["end"] for block in blocks[:-1])]
    assert all(block["cuts"][-1] == block["end"] for block in blocks)
    return [cut for block in blocks for cut in block["cuts"]]


def opened(open_page: OpenPage, text: str, **context: Any) -> Any:
    """Open the page with a document, for entities."""
    page = open_page(**context)
    choose_task(page, "ner")
    page.wait_for_selector("#reading .block")
    open_file(page, "line.txt", text)
    return page


def test_of_thousands_of_entities_in_one_line_only_what_is_near_is_drawn(open_page: OpenPage) -> None:
    text = " ".join(f"Entry {number} talks about [PER name{number}] once." for number in range(4400))
    page = opened(open_page, text)
    ask(page)
    assert page.text_content("#result .counted") == "4,400 entities"
    assert 0 < page.locator("#reading mark").count() < 300
    # What one line holds is laid out in pieces, too, of at most 250 lines of the page.
    assert (
        page.evaluate("Math.max(...[...document.querySelectorAll('#reading .block')].map((b) => b.textContent.length))")
        < 2e4
    )
    assert page.text_content("#reading") == text
    page.click("#previous")
    assert page.text_content("#reading mark.current") == "name4399"
    seen, reading = (page.locator(place).bounding_box() for place in ("#reading mark.current", "#reading"))
    assert reading["y"] <= seen["y"] <= reading["y"] + reading["height"]
    assert 0 < page.locator("#reading mark").count() < 300


UNITS = {
    "a surrogate pair": "𠮷",
    "a letter with marks": "e\u0301\u0332",
    "an emoji of several code points": "👩🏽‍👩‍👧‍👦",
    "a flag": "🇳🇴",
    "a line break of two characters": "\r\n",
    "a space with a mark": " \u0301",
}


def test_no_cut_goes_through_a_character(open_page: OpenPage) -> None:
    page = open_page()
    for told, unit in UNITS.items():
        length = utf16(unit)
        # No distance between cuts misses the inside of the unit after all of these beginnings.
        for before in range(7):
            text = "x" * before + unit * (40_000 // length)
            cuts = cuts_of(page, text)
            assert cuts[-1] == utf16(text) and len(cuts) > 10, told
            assert {(cut - before) % length for cut in cuts} == {0}, told


def test_no_cut_goes_through_a_finding_of_usual_length(open_page: OpenPage) -> None:
    page = open_page()
    text = "a word\n" * 6000
    # They begin and end inside words and lines, and each overlaps the one before; then there is one that is longer.
    found = [{"start": start, "end": start + 25} for start in range(0, 30_000, 22) if start % 1100]
    found.append({"start": 31_000, "end": 40_000})
    for findings in (found, found[::-1]):
        cuts = cuts_of(page, text, findings)
        assert [(cut, one) for cut in cuts for one in found[:-1] if one["start"] < cut < one["end"]] == []
        assert (
            len([cut for cut in cuts if cut < 30_000]) > 20 and len([cut for cut in cuts if 31_000 < cut < 40_000]) > 4
        )


def test_the_rest_of_a_line_goes_in_the_direction_of_its_beginning(open_page: OpenPage) -> None:
    hebrew, english = "שלום " * 4000, "peace " * 4000
    page = opened(open_page, f"{english}\n{hebrew}{english}\n{english}")
    directions = page.evaluate(
        """[...document.querySelectorAll('#reading .block')].map((block) => [
            block.textContent.includes('שלום'), getComputedStyle(block).direction])"""
    )
    first = [hebrew for hebrew, _ in directions].index(True)
    assert [direction for _, direction in directions] == ["ltr"] * first + ["rtl"] * 3 + ["ltr"] * 2


def test_what_is_copied_is_the_text(open_page: OpenPage) -> None:
    text = "no\u00a0break,  [PER two] spaces\tand a tab\r\n\r\n" + "[LOC long] line " * 3000 + "\nend\n"
    page = opened(open_page, text, permissions=["clipboard-read", "clipboard-write"])
    ask(page)
    page.focus("#reading")
    page.keyboard.press("Control+A")
    page.keyboard.press("Control+C")
    assert page.evaluate("navigator.clipboard.readText()") == text
    expect(page.locator("#reading mark").first).to_have_attribute("data-tag", "PER")
