"""Tasks about short texts, end to end."""

from dataclasses import fields
from typing import Any

import pytest

from bigbird_inference.tasks.entity_recognition import EntityRequest
from bigbird_inference.tasks.generation import GenerationRequest
from bigbird_inference.tasks.mask_filling import MaskRequest
from bigbird_inference.tasks.question_answering import QuestionRequest
from tests.playground.conftest import OpenPage, ask, cells, choose_task

pytestmark = pytest.mark.integration


def test_the_tasks_offered_are_those_that_the_loaded_models_serve(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    assert page.locator("#tasks label").all_inner_texts() == [
        *("Question", "Entities", "Classify", "Similarity", "Rerank", "Fill in", "Choice", "Next sentence", "Continue"),
    ]
    choose_task(page, "classify")
    assert page.locator("#model option").all_inner_texts() == ["fake-classify", "ranker"]
    choose_task(page, "rerank")
    assert page.locator("#model option").all_inner_texts() == ["ranker"]


def test_passages_are_compared(open_page: OpenPage) -> None:
    page = open_page("/#task=embed")
    texts = page.locator("#fields textarea")
    for place, text in enumerate(("aab", "aab", "cc")):
        texts.nth(place).fill(text)
    page.get_by_text("One more text").click()
    texts.nth(3).fill("ab")
    page.get_by_label("Remove text 3").click()
    ask(page)
    # Vectors count the letters a, b and c: (2, 1, 0) twice, and (1, 1, 0); 3 / sqrt(10).
    assert [row[1:] for row in cells(page)] == [
        ["1.000", "1.000", "0.949"],
        ["1.000", "1.000", "0.949"],
        ["0.949", "0.949", "1.000"],
    ]


def test_the_model_says_how_vectors_are_pooled_unless_somebody_chooses(open_page: OpenPage) -> None:
    page = open_page("/#task=embed")
    sent: list[Any] = []
    page.on("request", lambda request: sent.append(request.post_data_json) if request.url.endswith("/embed") else None)
    page.click("#options summary")
    pooling = page.get_by_label("Pooling")
    assert pooling.locator("option").all_inner_texts() == ["as the model says", "mean", "cls", "pooler"]
    ask(page)
    for chosen in ("mean", "cls"):
        pooling.select_option(chosen)
        ask(page)
    assert [body.get("pooling") for body in sent] == [None, "mean", "cls"]


def test_what_a_form_leaves_out_is_what_the_service_takes_anyway(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    left_out = page.evaluate("""async () => {
        const { TASKS } = await import(new URL("playground/tasks/registry.js", document.baseURI));
        const fields = TASKS.flatMap((task) => Object.entries({ ...task.fields(), ...task.options() }).map(
            ([name, field]) => [task.path, name, field.node.querySelector("select, [type=number]"), field.value]));
        return fields.filter(([, , control, value]) => control?.value && value === undefined).map(
            ([path, name, control]) => [path, name, control.value]);
    }""")
    requests = {
        "/qa": QuestionRequest,
        "/ner": EntityRequest,
        "/fill-mask": MaskRequest,
        "/generate": GenerationRequest,
    }
    defaults = {
        (path, field.name): str(field.default) for path, request in requests.items() for field in fields(request)
    }
    # Of /ner nothing: what it does unless asked depends on the model.
    assert {(path, name) for path, name, _ in left_out} == {
        ("/qa", "max_answer_tokens"),
        ("/fill-mask", "top_k"),
        ("/generate", "sampling"),
    }
    assert {(path, name): value for path, name, value in left_out}.items() <= defaults.items()


def test_what_a_task_was_left_with_is_there_again(open_page: OpenPage) -> None:
    page = open_page("/#task=embed")
    page.locator("#fields textarea").nth(1).fill("Edited")
    page.click("#options summary")
    page.get_by_label("Pooling").select_option("cls")
    choose_task(page, "classify")
    page.select_option("#model", "ranker")
    choose_task(page, "embed")
    assert page.locator("#fields textarea").nth(1).input_value() == "Edited"
    assert page.get_by_label("Pooling").input_value() == "cls"
    choose_task(page, "classify")
    assert page.input_value("#model") == "ranker"


def test_texts_are_ranked_for_a_query(open_page: OpenPage) -> None:
    page = open_page("/#task=rerank")
    texts = page.locator("#fields textarea")
    for place, text in enumerate(("Who", "Paris", "the office for finance is in Paris")):
        texts.nth(place).fill(text)
    ask(page)
    # The longer the pair, the larger the score.
    assert [row[0] for row in cells(page)] == ["the office for finance is in Paris", "Paris"]


@pytest.mark.parametrize(
    ("task", "first", "answers"),
    [
        ("multiple-choice", "1 2", ["the ships sailed at noon.", "the ships stayed in port."]),
        ("next-sentence", "1 2", ["The second follows the first", "It does not"]),
        ("fill-mask", "1 2 [MASK]", ["word"]),
    ],
)
def test_short_texts_are_answered(task: str, first: str, answers: list[str], open_page: OpenPage) -> None:
    page = open_page(f"/#task={task}")
    page.locator("#fields textarea").first.fill(first)
    ask(page)
    assert [row[0] for row in cells(page)] == answers


def test_a_prompt_is_continued(open_page: OpenPage) -> None:
    page = open_page("/#task=generate")
    page.fill("#fields textarea", "Once")
    ask(page)
    assert page.text_content("#result .continuation") == "Once and more"
    assert page.text_content("#result mark") == " and more"


def test_what_an_answer_cost_stands_beside_it(open_page: OpenPage) -> None:
    page = open_page("/#task=embed")
    for place, text in enumerate(("a b c", "a b", "a")):
        page.locator("#fields textarea").nth(place).fill(text)
    ask(page)
    facts = dict(fact.inner_text().split("\n") for fact in page.locator("#cost .fact").all())
    # Words are tokens, between two special ones.
    assert (facts["Tokens"], facts["Windows"], facts["Buckets"]) == ("12", "3", "3 × 64")
    assert {"Queue", "Model", "Round trip"} <= set(facts)


def test_a_request_is_not_sent_while_a_text_is_missing(open_page: OpenPage) -> None:
    page = open_page("/#task=rerank")
    page.locator("#fields textarea").nth(0).fill(" ")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.click("#ask")
    assert page.text_content("#status") == "Query is empty."
    assert asked == []
