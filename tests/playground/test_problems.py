"""What goes wrong is said in words, with what to do."""

from typing import Any

import pytest
from playwright.sync_api import expect

from benchmarks.running_server import running_command
from service.security.access import key_line
from tests.playground.conftest import SETTINGS, OpenPage, ask, marks, write_document
from tests.playground.page_server import COMMAND

pytestmark = pytest.mark.integration

# What Chromium's console says of an answer that is an error.
FAILED = ("Failed to load resource",)


def refused(page: Any, document: str) -> str:
    write_document(page, document)
    page.fill("#fields textarea", "What?")
    page.click("#ask")
    expect(page.locator("#problem")).to_be_visible()
    return page.inner_text("#problem")


@pytest.mark.parametrize(
    ("code", "told"),
    [
        pytest.param("deadline_exceeded", "Ask about a shorter text", id="504"),
        pytest.param("inference_failed", "server's log", id="500"),
        pytest.param("not_ready", "warming up", id="503"),
    ],
)
def test_each_problem_says_what_to_do(code: str, told: str, open_page: OpenPage) -> None:
    assert told in refused(open_page(expected=FAILED), code)


def test_busy_counts_down_to_when_to_ask_again(open_page: OpenPage) -> None:
    page = open_page(expected=FAILED)
    page.clock.install()
    assert "You can ask again in 3 seconds." in refused(page, "queue_full")
    page.clock.run_for(1100)
    assert page.inner_text("#problem .wait") == "You can ask again in 2 seconds."
    page.clock.run_for(2100)
    assert page.inner_text("#problem .wait") == "You can ask again now."


def test_a_text_over_the_limit_is_named_with_it(open_page: OpenPage) -> None:
    told = refused(open_page(expected=FAILED), "long " * 40_001)
    assert "more text than the service accepts" in told and "200000" in told


def test_a_model_that_is_gone_is_told(open_page: OpenPage) -> None:
    page = open_page("/#task=classify", expected=FAILED)
    page.wait_for_selector("#reading .block")
    page.evaluate("document.querySelector('#model option').value = 'gone'")
    page.click("#ask")
    expect(page.locator("#problem")).to_contain_text("not loaded any more")
    assert page.locator("#model option").all_inner_texts() == ["fake-classify", "ranker"]
    ask(page)
    assert page.is_hidden("#problem")


def test_a_key_is_asked_for_and_kept_in_memory_only(open_page: OpenPage) -> None:
    keys = {"BIGBIRD_API_KEYS": key_line("page", "right-key")}
    with running_command(COMMAND, {**SETTINGS, **keys}) as server:
        page = open_page(url=server.url, expected=(*FAILED,))
        # The second is none that a header could hold.
        for wrong in ("wrong-key", "“right-key”"):
            page.fill("#key", wrong)
            page.press("#key", "Enter")
            expect(page.locator("#problem")).to_contain_text("The key is not known here.")
            assert page.is_visible("#key-form") and page.is_hidden("#main")
        page.fill("#key", "right-key")
        page.press("#key", "Enter")
        page.wait_for_selector("#reading .block")
        write_document(page, "Oslo is north.")
        ask(page, "Oslo?")
        assert marks(page) == [("Oslo", "90%")]
        page.click("#take summary")
        assert "$BIGBIRD_KEY" in page.inner_text("#taken pre") and "right-key" not in page.content()
        kept = page.evaluate("[{ ...localStorage }, { ...sessionStorage }, document.cookie, location.href]")
        assert kept == [{}, {}, "", server.url + "/"]
        page.reload()
        expect(page.locator("#key-form")).to_be_visible()
        page.fill("#key", "right-key")
        page.press("#key", "Enter")
        page.wait_for_selector("#reading .block")
        server.stop()
        page.click("#ask")
        expect(page.locator("#problem")).to_contain_text("cannot be reached")
