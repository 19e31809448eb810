"""Questions, labels and entities of a document: what is marked is what was found, and where it was found."""

import re
from typing import Any
from urllib.parse import urljoin

import pytest
from playwright.sync_api import expect

from tests.playground.conftest import OpenPage, ask, cells, choose_task, marks, open_file, text_before, write_document

pytestmark = pytest.mark.integration

LONG = " ".join(["report"] * 350 + ["invoice"] * 350)


def test_a_newcomer_needs_one_click_to_see_an_answer(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    assert not page.is_visible("#synthetic")
    assert page.input_value("#fields textarea") == "Who commanded the Pacific fleet?"
    page.fill("#fields textarea", "Pacific fleet?")
    ask(page)
    assert page.text_content("#reading mark.current") == "Pacific fleet"
    seen, reading = (page.locator(place).bounding_box() for place in ("#reading mark.current", "#reading"))
    assert reading["y"] <= seen["y"] <= seen["y"] + seen["height"] <= reading["y"] + reading["height"]


def test_a_model_of_synthetic_reports_is_shown_one_and_it_is_marked_so(open_page: OpenPage) -> None:
    page = open_page()
    models = page.request.get(urljoin(page.url, "v1/models")).json()
    for model in models["models"]:
        model["source"]["note"] = "It knows synthetic reports alone."
    page.route("**/v1/models", lambda route: route.fulfill(json=models))
    page.reload()
    expect(page.locator("#document-name")).to_have_text("Legal report")
    assert page.is_visible("#synthetic")
    assert page.input_value("#fields textarea") == "Who controls Copper & Nygård?"
    # One real model is enough for its task to be offered first, and what is marked comes before what is not.
    for model in models["models"]:
        if model["task"] in ("ner", "classify"):
            model["source"]["note"] = None
    page.reload()
    expect(page.locator("#document-name")).to_have_text("Address to Congress, 1898")
    assert page.is_checked("#tasks [value=ner]")


def test_the_answer_and_its_alternatives_are_marked_and_listed(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north.\n\nBergen is west of Oslo.\n\nNobody forgets Oslo.")
    ask(page, "Oslo?")
    assert marks(page) == [("Oslo", "90%"), ("Oslo", "2"), ("Oslo", "3")]
    assert cells(page)[1] == ["Answer 2", "Oslo", "45%", "34–38"]
    page.locator("#result tbody button").nth(2).click()
    assert len(text_before(page, "mark.current")) == 56


def test_a_label_looks_the_same_in_every_document(open_page: OpenPage) -> None:
    page = open_page("/#task=ner")
    looks = []
    for text in ("[PER Ann] of [LOC Oslo]", "[DATE May] with [PER Ben]"):
        write_document(page, text)
        ask(page)
        looks.append(
            dict(
                page.eval_on_selector_all(
                    "#result .legend-label .sample",
                    """(samples) =>
            samples.map((sample) => [sample.textContent, sample.className])""",
                )
            )
        )
    assert looks[1]["PER"] == looks[0]["PER"] != looks[1]["DATE"] != looks[0]["LOC"]


def test_what_is_being_written_is_not_thrown_away_for_what_is_looked_at(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north. Nobody forgets Oslo.")
    ask(page, "Oslo?")
    page.click("#edit")
    page.fill("#editor", "Rome is south.")
    page.locator("#result tbody button").nth(1).click()
    assert page.is_visible("#editor") and page.input_value("#editor") == "Rome is south."
    page.click("#read")
    expect(page.locator("#reading")).to_have_text("Rome is south.")


def test_the_ruler_leads_to_where_a_window_begins(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 680, "height": 450})
    write_document(page, "\n".join(f"word{number} is here" for number in range(600)))
    page.evaluate("document.querySelector('#reading').scrollTop = 0")
    ask(page, "nothing?")
    page.locator("#ruler button").nth(4).click()
    began = page.evaluate("""() => {
        const { top } = document.querySelector("#reading").getBoundingClientRect();
        return [...document.querySelectorAll("#reading .block")].find(
            (block) => block.getBoundingClientRect().bottom > top + 30).textContent;
    }""")
    share = 4 / page.locator("#ruler button").count()
    assert abs(int(re.search(r"word(\d+)", began)[1]) / 600 - share) < 0.1  # type: ignore[index]


def test_an_answer_that_is_not_there_is_said_in_words(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north.")
    ask(page, "Rome?")
    assert page.text_content("#result .answer") == "The document does not say."
    assert marks(page) == []


def test_an_empty_answer_among_others_is_passed_over(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north. Bergen is west of Oslo.")

    def add_empty_answer(route: Any) -> None:
        answer = route.fetch().json()
        answer["alternatives"].insert(1, {"answer": "", "score": 0.5, "start": 0, "end": 0})
        route.fulfill(json=answer)

    page.route("**/qa", add_empty_answer)
    ask(page, "Oslo?")
    places = []
    for key in ("n", "n", "p", "p"):
        page.press("#reading", key)
        places.append(len(text_before(page, "mark.current")))
    assert places == [33, 0, 33, 0]
    page.locator("#reading mark").nth(1).click()
    assert page.locator("#result tr.current").inner_text().split()[:2] == ["Answer", "3"]


def test_what_was_typed_is_kept_when_another_question_could_be_suggested(open_page: OpenPage) -> None:
    page = open_page("/#question=Linked?")
    page.wait_for_selector("#reading .block")
    question = page.locator("#fields textarea")
    expect(question).to_have_value("Linked?")
    question.fill("Typed?")
    page.click("[data-example=short]")
    expect(page.locator("#document-name")).to_have_text("Research note")
    expect(question).to_have_value("Typed?")
    ask(page)
    page.click("[data-example=financial]")
    expect(question).to_have_value("How much money did Lydia Meyer receive?")
    page.evaluate("location.hash = 'question=Again?'")
    expect(question).to_have_value("Again?")


def test_form_and_result_are_those_that_a_task_was_left_with(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north. Bergen is west.")
    for question in ("Oslo?", "Bergen?"):
        ask(page, question)
    page.locator("#exchanges button").first.click()
    choose_task(page, "ner")
    choose_task(page, "qa")
    assert page.input_value("#fields textarea") == "Oslo?"
    assert page.text_content("#result .answer") == "Oslo"
    assert page.locator("#exchanges [aria-current]").inner_text().startswith("Oslo?")
    assert marks(page) == [("Oslo", "90%")]


def test_several_questions_about_a_document_are_kept_with_their_answers(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, "Oslo is north. Bergen is west.")
    for question in ("Oslo?", "Bergen?", "Rome?"):
        ask(page, question)
    listed = page.locator("#exchanges button")
    assert [text.split("\n")[:2] for text in listed.all_inner_texts()] == [
        ["Oslo?", "Oslo"],
        ["Bergen?", "Bergen"],
        ["Rome?", "The document does not say."],
    ]
    listed.nth(0).click()
    assert marks(page) == [("Oslo", "90%")]
    assert page.input_value("#fields textarea") == "Oslo?"
    write_document(page, "Rome is south.")
    assert page.is_hidden("#asked")


def test_the_ruler_tells_the_windows_and_which_one_an_answer_is_from(open_page: OpenPage) -> None:
    page = open_page()
    words = [f"w{number}" for number in range(900)]
    write_document(page, " ".join(words))
    ask(page, "w650?")
    windows = page.locator("#ruler .ruler-window")
    assert windows.count() == 3
    assert [window.get_attribute("aria-current") for window in windows.all()] == [None, "true", None]
    start, end = len(" ".join(words[:300])) + 1, len(" ".join(words[:700]))
    assert windows.nth(1).get_attribute("aria-label") == (
        f"Window 2 of 3: 400 tokens, bucket 408, characters {start:,} to {end:,}; 1 answer from here"
    )
    tops = [window.evaluate("node => parseFloat(node.style.top)") for window in windows.all()]
    whole, last = len(" ".join(words)), len(" ".join(words[:600])) + 1
    assert tops == pytest.approx([0, 100 * start / whole, 100 * last / whole], abs=0.01)
    assert page.text_content("#windows") == "Read in 3 overlapping windows; this answer is from window 2."


def test_labels_are_bars_with_what_each_window_says(open_page: OpenPage) -> None:
    page = open_page()
    write_document(page, LONG)
    choose_task(page, "classify")
    ask(page)
    assert [row[:2] for row in cells(page)] == [["report", "50%"], ["invoice", "50%"]]
    # Windows of 400 words, from word 0 and 300 on: 350 and 50 of them are "report".
    assert page.locator("#result .shares").first.get_attribute("aria-label") == (
        "Window 1, 50% of the tokens: 88%; Window 2, 50% of the tokens: 13%"
    )


def test_entities_are_marked_with_their_labels(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, "[PER Zoë] met [LOC Oslo] and [PER Ann Lee].")
    ask(page)
    assert marks(page) == [("Zoë", "PER"), ("Oslo", "LOC"), ("Ann Lee", "PER")]
    looks = page.evaluate("""() => [...document.querySelectorAll('#reading mark')].map((mark) =>
        [getComputedStyle(mark).textDecorationStyle, getComputedStyle(mark.lastChild, '::after').content])""")
    assert looks == [["dashed", '"PER"'], ["solid", '"LOC"'], ["dashed", '"PER"']]


def test_overlapping_entities_are_both_whole(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, "The [ORG Bank|of Oslo] opened.")
    ask(page)
    assert sorted(text for text, _ in marks(page)) == ["Bank", "Bank|of Oslo"]


def test_entities_are_filtered_by_label_and_score_without_another_request(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, " ".join(f"[{'PER' if number % 2 else 'LOC'} n{number}]" for number in range(20)))
    ask(page)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    assert len(marks(page)) == 20
    page.uncheck("#result input[value='PER']")
    assert [text for text, _ in marks(page)] == [f"n{number}" for number in range(0, 20, 2)]
    page.locator("#result input[type=range]").fill("0.6")
    assert [text for text, _ in marks(page)] == [f"n{number}" for number in range(10, 20, 2)]
    assert page.text_content("#result .counted") == "5 of 20 entities"
    assert page.locator("#result tbody tr").count() == 5
    assert asked == []


def test_a_label_that_is_hidden_takes_its_selected_mark_along(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, "[PER Ann] met [LOC Oslo] and [LOC Rome].")
    ask(page)
    page.locator("#result td button").first.click()
    page.uncheck("#result input[value='PER']")
    assert [text for text, _ in marks(page)] == ["Oslo", "Rome"]
    assert page.locator("#reading mark.current").count() == 0
    page.press("#reading", "n")
    assert page.text_content("#reading mark.current") == "Oslo"


UNICODE = {
    "emoji of several code points": "👩‍👩‍👧‍👦 is in 🇳🇴 with [PER Zoë 👩🏽‍🚀 Åse] today",
    "combining marks": "e\u0301tude by [PER Jose\u0301 N\u0303u] and x\u0332",
    "CJK, and beyond the first plane": "在[LOC 北京]工作的𠮷野家 and [PER 𠮷田 太郎]。",
    "right to left": "פגישה עם [PER דוד לוי] ב[LOC חיפה] היום",
    "CR and LF": "one\r\ntwo [PER Ann\r\nLee] three\r\rfour\r\n[LOC Oslo]",
}


@pytest.mark.parametrize("text", UNICODE.values(), ids=UNICODE.keys())
def test_marks_stand_where_the_answer_says_for_any_unicode(text: str, open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    page.wait_for_selector("#reading .block")
    open_file(page, "text.txt", text)
    assert page.evaluate("document.querySelector('#reading').textContent") == text
    ask(page)
    assert [own for own, _ in marks(page)] == [match[1] for match in re.finditer(r"\[\w+ ([^\]]+)\]", text)]
    before = text_before(page, "mark")
    assert before == re.split(r"(?<=\[PER )|(?<=\[LOC )", text)[0]
    rows = page.locator("#result tbody .place").all_inner_texts()
    assert rows[0] == f"{len(before)}–{len(before) + len(marks(page)[0][0])}"


def test_five_thousand_entities_are_all_in_reach(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    page.wait_for_selector("#reading .block")
    open_file(page, "many.txt", "\n".join(f"Line {number} names [PER name{number}] once." for number in range(5000)))
    ask(page)
    assert page.text_content("#result .counted") == "5,000 entities"
    page.click("#previous")
    assert page.text_content("#reading mark.current") == "name4999"
    assert page.text_content("#result tr.current button") == "name4999"
    assert 0 < page.locator("#reading mark").count() < 500


def test_a_paste_of_two_hundred_thousand_characters_is_taken(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    text = "".join(f"Line {number} of the pasted text.\n" for number in range(6000))[:199_990] + "The end."
    page.evaluate(
        """(text) => { const data = new DataTransfer(); data.setData('text/plain', text);
        const event = { clipboardData: data, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new ClipboardEvent('paste', event)); }""",
        text,
    )
    assert page.text_content("#document-name") == "Pasted text"
    ask(page, "The end?")
    assert page.text_content("#reading mark.current") == "The end"


@pytest.mark.parametrize(
    ("name", "media_type", "content", "read"),
    [
        pytest.param("a.md", "text/markdown", "# Title\n\n*Oslo*", "# Title\n\n*Oslo*", id="Markdown as it is"),
        pytest.param(
            "a.html",
            "text/html",
            "<title>x</title><h1>Title</h1><script>alert(1)</script><style>p{}</style>"
            "<p>Oslo  is\n<b>no</b>rth<br>of <img src=https://example.com/x onerror=alert(2)>here &amp; there.</p>"
            "<table><tr><td>a</td><td>b</td></tr><tr><td>c</td></tr></table><pre>x  y\n z</pre><!-- <p>no -->",
            "Title\n\nOslo is north\nof here & there.\n\na\tb\nc\n\nx  y\n z",
            id="what a reader sees of HTML",
        ),
        pytest.param(
            "whole.html",
            "text/html",
            "<!DOCTYPE html><?xml version='1.0'?><head><title>t</title>"
            "<body><p>No end of head</p><header>Kept</header>end" + "<p>many</p>" * 10_000,
            "No end of head\n\nKept\nend" + "\n\nmany" * 10_000,
            id="HTML of a whole page, and much of it",
        ),
    ],
)
def test_files_are_read(name: str, media_type: str, content: str, read: str, open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    open_file(page, name, content, media_type)
    assert page.evaluate("document.querySelector('#reading').textContent") == read


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"%PDF-1.7\0\0"], ids=["not UTF-8", "not text"])
def test_a_file_that_is_no_text_is_refused_in_words(content: bytes, open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.set_input_files("#file", {"name": "a.pdf", "mimeType": "application/pdf", "buffer": content})
    expect(page.locator("#status")).to_contain_text("Save")
    assert page.text_content("#document-name") == "Address to Congress, 1898"
    # Where the page is longer than the window, too.
    page.set_viewport_size({"width": 500, "height": 800})
    page.locator("#file").scroll_into_view_if_needed()
    page.set_input_files("#file", {"name": "a.pdf", "mimeType": "application/pdf", "buffer": content})
    expect(page.locator("#status")).to_be_in_viewport()


def test_a_document_that_is_emptied_is_gone(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    write_document(page, "")
    assert page.input_value("#editor") == page.text_content("#reading") == ""
    assert page.is_visible("#editor")
    page.click("#ask")
    expect(page.locator("#status")).to_contain_text("no document")


def test_what_was_told_of_one_task_is_not_told_of_another(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.fill("#fields textarea", "")
    page.click("#ask")
    expect(page.locator("#status")).to_contain_text("Question is empty")
    choose_task(page, "ner")
    expect(page.locator("#status")).to_have_text("")


def test_copying_nothing_is_no_error(open_page: OpenPage) -> None:
    page = open_page()
    page.focus("#reading")
    page.evaluate("getSelection().removeAllRanges()")
    page.evaluate("document.querySelector('#reading').dispatchEvent(new ClipboardEvent('copy', { bubbles: true }))")


@pytest.mark.parametrize("content", [b"", b" \r\n", b"<p> </p>"], ids=["empty", "blank", "empty HTML"])
def test_an_empty_file_is_refused_in_words(content: bytes, open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.click("#edit")
    page.fill("#editor", "Oslo is north.")
    page.set_input_files("#file", {"name": "a.html", "mimeType": "text/html", "buffer": content})
    expect(page.locator("#status")).to_contain_text("no text in this file")
    page.click("#read")
    assert page.text_content("#reading") == "Oslo is north."


@pytest.mark.parametrize("content", [b"Oslo", b"\xff"], ids=["text", "none"])
def test_a_slow_file_does_not_take_the_place_of_a_newer_document(content: bytes, open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    page.evaluate("""() => {
        const read = File.prototype.arrayBuffer;
        File.prototype.arrayBuffer = async function () {
            await new Promise((resolve) => { window.release = resolve; });
            return read.call(this);
        };
    }""")
    page.set_input_files("#file", {"name": "slow.txt", "mimeType": "text/plain", "buffer": content})
    page.wait_for_function("window.release !== undefined")
    write_document(page, "Newer")
    page.evaluate("release()")
    # What comes after it: a file that is not slow.
    page.evaluate("new Promise((resolve) => setTimeout(resolve))")
    assert page.text_content("#document-name") == "Your text"
    assert page.text_content("#status") == ""


def test_a_dropped_file_is_opened(open_page: OpenPage) -> None:
    page: Any = open_page()
    page.wait_for_selector("#reading .block")
    page.evaluate(
        """() => { const data = new DataTransfer(); data.items.add(new File(['Dropped in Oslo.'], 'dropped.txt'));
        const event = { dataTransfer: data, bubbles: true, cancelable: true };
        document.body.dispatchEvent(new DragEvent('drop', event)); }"""
    )
    expect(page.locator("#document-name")).to_have_text("dropped.txt")
    ask(page, "Oslo?")
    assert marks(page) == [("Oslo", "90%")]


def test_nothing_is_torn_where_there_is_little_room(open_page: OpenPage) -> None:
    page = open_page(viewport={"width": 320, "height": 640})
    write_document(page, LONG)
    choose_task(page, "classify")
    ask(page)
    label, result = (page.locator(place) for place in ("#result tbody th:text('invoice')", "#result"))
    assert label.bounding_box()["height"] < 60
    assert result.evaluate("node => node.scrollWidth <= node.clientWidth")
    choose_task(page, "ner")
    write_document(page, "[PER Annabel Lee Smith] and " * 30)
    ask(page)
    # The tag of a mark is in one line with its last word.
    lasts = page.locator("#reading mark > [data-tag]").evaluate_all(
        "all => all.map((one) => one.getClientRects().length)"
    )
    assert len(lasts) == 30 and set(lasts) == {1}
