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
    for _ in range(2):
        page.keyboard.press("ArrowRight")
    expect(page.locator("#ask")).to_have_text("Find entities")


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
