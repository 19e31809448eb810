"""What goes wrong is said in words, with what to do."""

import re
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


ERROR_PAGES = {
    408: "The request took too long to get there.",
    413: "raise the proxy's limit",
    429: "Ask again in a moment.",
    502: "Check that the service is running",
    503: "Check that the service is running",
    504: "let the proxy wait longer",
}


def test_what_a_proxy_says_in_place_of_the_service_is_told_in_words(open_page: OpenPage) -> None:
    page = open_page(expected=FAILED)
    page.wait_for_selector("#reading .block")
    pages = {status: {"status": status, "content_type": "text/html", "body": "<p>No"} for status in ERROR_PAGES}
    answers = [
        *((pages[status], told) for status, told in ERROR_PAGES.items()),
        ({"status": 502, "json": {"code": 14, "detail": {}}}, ERROR_PAGES[502]),
        ({"status": 200, "body": "<p>Log in"}, "did not answer as expected"),
    ]
    waiting = [answer for answer, _ in answers]
    page.route("**/qa", lambda route: route.fulfill(**waiting.pop(0)))
    for _, told in answers:
        page.click("#ask")
        expect(page.locator("#problem")).to_contain_text(told)


@pytest.mark.parametrize("answer", [{}, {"alternatives": [], "usage": {}}, {"alternatives": None}, [], 5])
def test_an_answer_that_is_none_of_the_task_is_told(answer: Any, open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.route("**/qa", lambda route: route.fulfill(json=answer))
    page.click("#ask")
    expect(page.locator("#problem")).to_contain_text("did not answer as expected")
    assert page.inner_text("#status") == "" and page.is_hidden("#results")
    page.unroute("**/qa")
    ask(page)


def test_an_example_that_does_not_come_is_told_and_tried_again(open_page: OpenPage) -> None:
    page = open_page(expected=FAILED)
    page.wait_for_selector("#reading .block")
    page.route("**/financial.txt", lambda route: route.fulfill(status=502, content_type="text/html", body="<p>No"))
    page.click("[data-example=financial]")
    expect(page.locator("#problem")).to_contain_text(ERROR_PAGES[502])
    assert page.text_content("#document-name") == "Address to Congress, 1898"
    page.unroute("**/financial.txt")
    page.click("#problem button")
    expect(page.locator("#document-name")).to_have_text("Financial report")
    assert page.is_hidden("#problem")


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        pytest.param({"status": 502, "content_type": "text/html", "body": "<p>No"}, ERROR_PAGES[502], id="an error"),
        pytest.param({"json": {"models": []}}, "No model is loaded.", id="no model"),
        pytest.param({"json": {"models": [{"name": "a", "task": "b"}]}}, "The API reference lists", id="no known task"),
        pytest.param({"json": {}}, "did not answer as expected", id="no list"),
    ],
)
def test_without_models_it_is_said_what_to_do(answer: dict[str, Any], told: str, open_page: OpenPage) -> None:
    page = open_page(expected=FAILED)
    page.wait_for_selector("#reading .block")
    page.route("**/v1/models", lambda route: route.fulfill(**answer))
    page.reload()
    problem, again = page.locator("#problem"), page.locator("#problem button:not([aria-disabled])")
    expect(problem).to_contain_text(told)
    again.press("Enter")
    expect(again).to_be_focused()
    page.unroute("**/v1/models")
    again.press("Enter")
    expect(page.locator("#main")).to_be_visible()
    expect(page.locator("#ask")).to_be_focused()
    page.wait_for_selector("#reading .block")
    ask(page)


def test_a_model_that_is_gone_is_told(open_page: OpenPage) -> None:
    page = open_page("/#task=classify", expected=FAILED)
    page.wait_for_selector("#reading .block")

    def ask_one_that_is_gone() -> None:
        page.evaluate("document.querySelector('#model option').value = 'gone'")
        page.click("#ask")

    ask_one_that_is_gone()
    expect(page.locator("#problem")).to_contain_text("not loaded any more")
    assert page.locator("#model option").all_inner_texts() == ["fake-classify", "ranker"]
    ask(page)
    assert page.is_hidden("#problem")
    left = [
        model for model in page.evaluate("fetch('v1/models').then((r) => r.json())")["models"] if model["task"] == "ner"
    ]
    page.route("**/v1/models", lambda route: route.fulfill(json={"models": left}))
    ask_one_that_is_gone()
    expect(page.locator("#problem")).to_contain_text("not loaded any more")
    assert page.locator("#tasks label").all_inner_texts() == ["Entities"]
    left.clear()
    ask_one_that_is_gone()
    expect(page.locator("#problem")).to_contain_text("No model is loaded.")
    assert page.is_hidden("#main")


def test_an_option_that_is_out_of_bounds_is_told_where_it_is_hidden(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.click("#options summary")
    page.get_by_label("Answers").fill("0")
    page.click("#options summary")
    page.click("#ask")
    expect(page.locator("#status")).to_have_text(re.compile("^Answers: .*1"))
    expect(page.get_by_label("Answers")).to_be_focused()
    page.get_by_label("Answers").fill("2")
    ask(page)


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
