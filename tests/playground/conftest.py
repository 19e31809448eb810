"""One headless Chromium, and a page in it that may say nothing wrong and ask nobody but its server."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from benchmarks.chromium import ask_and_wait, chromium, find_chromium
from benchmarks.chromium import choose_task as choose_task
from benchmarks.running_server import RunningServer, running_command
from tests.foreign_programs import find_program
from tests.playground.page_server import COMMAND

SETTINGS = {"BIGBIRD_PORT": "0", "BIGBIRD_WARM_UP_SECONDS": "0"}
REPORT_VIOLATIONS = """
    window.violations = [];
    document.addEventListener("securitypolicyviolation", (event) =>
        window.violations.push(`${event.violatedDirective}: ${event.blockedURI} ${event.sample}`));
"""

OpenPage = Callable[..., Any]


# For a module and not for the folder: as long as it is open, this process has a running event loop.
@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium(find_chromium() or find_program("chromium", "chromium")) as running:
        yield running


@pytest.fixture(scope="module")
def server() -> Iterator[RunningServer]:
    with running_command(COMMAND, SETTINGS) as running:
        yield running


@pytest.fixture
def open_page(browser: Any, server: RunningServer) -> Iterator[OpenPage]:
    """Return a function that opens the page; at the end, it must not have said anything wrong, nor asked others.

    `expected` are starts of what the browser's console may say: it tells each answer that is an error.
    """
    watched: list[tuple[Any, list[str]]] = []

    def open_page(path: str = "/", url: str | None = None, expected: tuple[str, ...] = (), **context: Any) -> Any:
        origin = url or server.url
        own = browser.new_context(**{"viewport": {"width": 1360, "height": 900}, "reduced_motion": "reduce", **context})
        own.set_default_timeout(20_000)
        page = own.new_page()
        wrong: list[str] = []

        def said(message: Any) -> None:
            if not message.text.startswith(expected):
                wrong.append(message.text)

        def asked(request: Any) -> None:
            if not request.url.startswith((origin, f"blob:{origin}")):
                wrong.append(request.url)

        page.add_init_script(REPORT_VIOLATIONS)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("console", said)
        page.on("request", asked)
        watched.append((own, wrong))
        page.goto(origin + path)
        return page

    yield open_page
    for context, wrong in watched:
        violations = [entry for page in context.pages for entry in page.evaluate("window.violations")]
        context.close()
        assert wrong + violations == []


def call(page: Any, module: str, function: str, *arguments: Any) -> Any:
    """Return what a function of one of the page's modules returns."""
    return page.evaluate(
        "async ([module, name, given]) => (await import(`/playground/${module}`))[name](...given)",
        [module, function, list(arguments)],
    )


def write_document(page: Any, text: str) -> None:
    """Replace the document by typing another one."""
    page.click("#edit")
    page.fill("#editor", text)
    page.click("#read")


def open_file(page: Any, name: str, text: str, media_type: str = "text/plain") -> None:
    page.set_input_files("#file", {"name": name, "mimeType": media_type, "buffer": text.encode()})
    expect(page.locator("#document-name")).to_have_text(name)


def ask(page: Any, question: str | None = None) -> None:
    """Ask, and wait for the answer."""
    if question is not None:
        page.fill("#fields textarea", question)
    page.evaluate("performance.clearMarks()")
    ask_and_wait(page)


def marks(page: Any) -> list[tuple[str, str]]:
    """Return the drawn marks in the order of the text, each with its label; pieces of one finding are joined."""
    found: dict[str, list[str]] = {}
    for piece in page.query_selector_all("#reading mark"):
        for finding in (piece.get_attribute("data-findings") or "").split():
            found.setdefault(finding, []).append(piece.text_content())
    labels = page.evaluate("""() => [...document.querySelectorAll('#reading mark')].map((mark) =>
        [mark.dataset.findings, mark.dataset.tag])""")
    tags = {findings.split()[0]: tag for findings, tag in labels}
    return [("".join(parts), tags.get(finding) or "") for finding, parts in found.items()]


def text_before(page: Any, selector: str) -> str:
    """Return what the document says before an element of the reading view."""
    text: str = page.evaluate(
        """(selector) => {
            const range = document.createRange();
            range.setStart(document.querySelector("#reading"), 0);
            range.setEndBefore(document.querySelector(`#reading ${selector}`));
            return range.toString();
        }""",
        selector,
    )
    return text


def cells(page: Any) -> list[list[str]]:
    """Return the rows of the table of results."""
    return [[cell.strip() for cell in row.split("\t")] for row in page.locator("#result tbody tr").all_inner_texts()]


def downloaded(page: Any, button: str) -> str:
    """Press a button that saves a file, and return what the file holds."""
    with page.expect_download() as download:
        page.click(button)
    return Path(download.value.path()).read_text(encoding="utf-8")


def downloaded_json(page: Any, button: str) -> Any:
    return json.loads(downloaded(page, button))
