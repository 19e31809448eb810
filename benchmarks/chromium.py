"""Chromium without a window, driven by Playwright: for the tests, the figures and the pictures of the page at `/`.

It is the one that the system has (Debian's package `chromium`); nothing is downloaded.
"""

import contextlib
import shutil
from collections.abc import Iterator

from playwright.sync_api import Browser, Page, sync_playwright

_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-dev-shm-usage"]

# The page sets this mark once what was found is drawn; otherwise it says why not.
_WHEN_MARKED = """() => new Promise((resolve, reject) => {
    performance.clearMarks();
    new PerformanceObserver((list) => list.getEntriesByName("bigbird:marked").length && resolve())
        .observe({ entryTypes: ["mark"] });
    const told = () => document.querySelector("#problem").innerText || document.querySelector("#status").innerText;
    new MutationObserver(() => document.querySelector("#problem").hidden || reject(new Error(told())))
        .observe(document.querySelector("#problem"), { attributes: true });
    setTimeout(() => reject(new Error(told())), 60_000);
})"""


def find_chromium() -> str | None:
    """Return the browser's path by any of its names, or None if there is none."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


@contextlib.contextmanager
def chromium(program: str | None = None) -> Iterator[Browser]:
    """Run the browser.

    Args:
        program: Its path, or None for the one that is found.

    Raises:
        RuntimeError: There is none.
    """
    program = program or find_chromium()
    if program is None:
        raise RuntimeError("there is no chromium; install Debian's package of that name")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=program, args=_ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


def ask_and_wait(page: Page) -> None:
    """Press the button that asks, and wait until what was found is marked.

    Raises:
        playwright.sync_api.Error: There is no answer; the message is what the page says.
    """
    page.evaluate(f"window.marked = ({_WHEN_MARKED})(); undefined")
    page.click("#ask")
    page.evaluate("window.marked")


def choose_task(page: Page, task: str) -> None:
    """Choose a task by its name."""
    page.check(f"#tasks input[value='{task}']", force=True)
