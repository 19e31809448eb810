"""The page by keyboard alone, for screen readers, on narrow screens and enlarged, in light and dark."""

import json
import subprocess
import tarfile
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from tests.foreign_programs import find_program
from tests.playground.conftest import OpenPage, ask, choose_task, marks, write_document

pytestmark = pytest.mark.integration

AXE = "axe-core@4.14.1"


@pytest.fixture(scope="module")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The source of axe-core."""
    folder = tmp_path_factory.mktemp("axe")
    packed = subprocess.run(
        [find_program("npm", package="npm"), "pack", "--silent", AXE],
        cwd=folder,
        check=True,
        capture_output=True,
        text=True,
    )
    with tarfile.open(folder / packed.stdout.split()[-1]) as archive:
        script = archive.extractfile("package/axe.min.js")
        assert script is not None
        return script.read().decode()


def violations(page: Any, axe: str) -> list[str]:
    """Return what axe-core finds wrong that is at least serious; it is run where the page's policy does not reach."""
    page.evaluate(axe)
    found = page.evaluate("axe.run(document, { resultTypes: ['violations'] })")["violations"]
    return [
        f"{one['id']}: {node['html'][:200]} {node['failureSummary'][:300]}"
        for one in found
        if one["impact"] in ("serious", "critical")
        for node in one["nodes"]
    ]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_serious(scheme: str, open_page: OpenPage, axe: str) -> None:
    page = open_page(color_scheme=scheme)
    page.wait_for_selector("#reading .block")
    assert violations(page, axe) == []
    write_document(page, "Oslo and [PER Ann] met in [LOC Oslo]. " * 60)
    ask(page, "Oslo?")
    page.click("#take summary")
    page.click("#options summary")
    assert violations(page, axe) == []
    for task in ("classify", "ner", "embed", "fill-mask"):
        choose_task(page, task)
        ask(page)
        assert violations(page, axe) == [], task
    choose_task(page, "qa")
    page.click("#edit")
    assert violations(page, axe) == []


def test_everything_is_done_by_keyboard_alone(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")

    def tab_to(selector: str, key: str = "Tab") -> None:
        for _ in range(60):
            if page.evaluate("selector => document.activeElement.matches(selector)", selector):
                return
            page.keyboard.press(key)
        raise AssertionError(f"{selector} cannot be reached")

    tab_to("#edit")
    page.keyboard.press("Enter")
    page.keyboard.press("Control+A")
    page.keyboard.type("Oslo is north. Bergen is west of Oslo.")
    page.keyboard.press("Shift+Tab")
    tab_to("#read", "Shift+Tab")
    page.keyboard.press("Enter")
    tab_to("#fields textarea")
    page.keyboard.press("Control+A")
    page.keyboard.type("Oslo?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#status")).to_have_text("Answer: “Oslo”, score 90%.")
    tab_to("#reading", "Shift+Tab")
    page.keyboard.press("n")
    expect(page.locator("#status")).to_have_text("2 of 2: Answer 2, “Oslo”, 45%")
    assert page.locator("#reading mark.current").get_attribute("data-tag") == "2"
    page.keyboard.press("p")
    expect(page.locator("#status")).to_have_text("1 of 2: Answer 1, “Oslo”, 90%")
    tab_to("#result td button.finding")
    page.keyboard.press("Enter")
    tab_to("input[name=task]", "Shift+Tab")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#ask")).to_have_text("Find entities")


def test_the_focus_stays_where_it_is_while_results_are_redrawn(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, " ".join(f"[PER n{number}]" for number in range(60)))
    page.press("#ask", "Enter")
    expect(page.locator("#status")).to_have_text("60 entities")
    expect(page.locator("#ask")).to_be_focused()
    row = page.locator("#result td button").nth(2)
    row.press("Enter")
    expect(row).to_have_attribute("aria-current", "true")
    expect(row).to_be_focused()
    later = page.locator(".pager button").last
    for _ in range(3):
        later.press("Enter")
    assert page.inner_text(".pager .rows") == "51–60 of 60"
    expect(later).to_be_focused()
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")
    assert page.inner_text(".pager .rows") == "26–50 of 60"

    choose_task(page, "qa")
    for question in ("n7?", "n8?"):
        ask(page, question)
    earlier = page.locator("#exchanges button").first
    earlier.press("Enter")
    expect(page.locator("#result .answer")).to_have_text("n7")
    expect(earlier).to_be_focused()
    # Another document takes the results away, and the editor when it is read.
    page.locator("#result .answer button").focus()
    page.evaluate("document.querySelector('[data-example=short]').click()")
    expect(page.locator("#document-name")).to_have_text("Research note")
    expect(page.locator("#ask")).to_be_focused()
    page.click("#edit")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#reading")).to_be_focused()


@pytest.mark.parametrize(
    "size", [{"width": 320, "height": 640}, {"width": 680, "height": 450}], ids=["narrow", "enlarged"]
)
def test_one_click_brings_the_answer_into_sight_on_small_screens(size: dict[str, int], open_page: OpenPage) -> None:
    page = open_page(viewport=size)
    page.wait_for_selector("#reading .block")
    question = page.locator("#fields textarea")
    question.fill("Pacific fleet?")
    ask(page)
    expect(page.locator("#reading mark.current")).to_be_in_viewport(ratio=1)
    question.fill("Rome?")
    ask(page)
    expect(page.locator("#result .answer")).to_be_in_viewport(ratio=1)
    page.locator("#exchanges button").first.click()
    expect(page.locator("#reading mark.current")).to_be_in_viewport(ratio=1)
    page.locator("#result td button").first.click()
    expect(page.locator("#reading mark.current")).to_be_in_viewport(ratio=1)
    choose_task(page, "classify")
    ask(page)
    expect(page.locator("#result tr").nth(1)).to_be_in_viewport(ratio=1)


def test_the_tab_key_goes_through_the_page_as_it_is_seen(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.focus("#fields textarea")
    for width in (1360, 600, 1360):
        page.set_viewport_size({"width": width, "height": 900})
        expect(page.locator("#fields textarea")).to_be_focused()
        order = page.evaluate("""() => ["#reading", "#ruler", "#form"].map((one) => document.querySelector(one))
            .sort((one, other) => (one.compareDocumentPosition(other) & Node.DOCUMENT_POSITION_FOLLOWING ? -1 : 1))
            .map((one) => one.getBoundingClientRect())
            .map(({ left, top }) => (innerWidth > 960 ? left : 2 * top + left))""")
        assert order == sorted(order), width


def test_the_skip_link_leads_to_the_answers_and_changes_nothing(open_page: OpenPage) -> None:
    page = open_page("/#task=qa&question=Linked?")
    page.wait_for_selector("#reading .block")
    page.press("#skip", "Enter")
    expect(page.locator("#ask")).to_be_focused()
    ask(page, "Nygård?")
    page.fill("#fields textarea", "Being written")
    page.press("#skip", "Enter")
    expect(page.locator("#results")).to_be_focused()
    assert page.input_value("#fields textarea") == "Being written"
    assert page.evaluate("location.hash") == "#task=qa&question=Linked?"


def test_what_is_found_is_said_to_screen_readers(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, "[PER Zoë] met [LOC Oslo].")
    ask(page)
    assert page.locator("#status[aria-live=polite]").text_content() == "2 entities"
    assert page.locator("#result table caption").text_content() == "Findings in the order of the document"
    assert page.locator("#result tbody tr").all_inner_texts()[1].split() == ["LOC", "Oslo", "51%", "19–23"]


@pytest.mark.parametrize(
    "size",
    [
        pytest.param({"width": 320, "height": 640}, id="a narrow screen"),
        pytest.param({"width": 1024, "height": 700}, id="a small window"),
        # What a window of 1360 by 900 has at 200%.
        pytest.param({"width": 680, "height": 450}, id="enlarged twice"),
    ],
)
def test_nothing_is_cut_off(size: dict[str, int], open_page: OpenPage) -> None:
    page = open_page(viewport=size)
    choose_task(page, "ner")
    write_document(page, "[PERSON Zoë] met [LOCATION Oslo]. " * 40)
    ask(page)
    assert len(marks(page)) > 1
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]
    # A name of usual length needs no more than two lines.
    assert page.locator("#result tbody td:nth-child(2)").first.bounding_box()["width"] > 70
    page.locator("#take summary").click()
    assert page.evaluate("document.documentElement.scrollWidth") <= size["width"]


def test_every_text_of_the_page_is_there(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    keys = page.evaluate("""() => [...document.querySelectorAll('[data-text], [data-label], [data-title]')].map((one) =>
        [one.textContent, one.getAttribute('aria-label'), one.title].filter((text) => text !== null && text !== ''))""")
    assert all(keys) and "undefined" not in json.dumps(keys)


def test_the_scripts_are_all_that_the_page_needs(open_page: OpenPage) -> None:
    folder = Path(__file__).resolve().parents[2] / "service" / "playground"
    page = open_page()
    page.wait_for_selector("#reading .block")
    loaded = page.evaluate("performance.getEntriesByType('resource').map((one) => new URL(one.name).pathname)")
    own = {f"/playground/{path.relative_to(folder).as_posix()}" for path in folder.rglob("*.js")}
    assert own <= set(loaded)
