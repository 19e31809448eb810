"""The page with the demo models: what they find in the examples is marked where the generator put it."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.running_server import RunningServer, running_server
from tests.end_to_end.conftest import ROOT
from tests.end_to_end.conftest import bundles as bundles
from tests.playground.conftest import OpenPage, ask, cells, marks, text_before

pytestmark = pytest.mark.integration

EXPECTED = json.loads((ROOT / "examples" / "expected.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def server(bundles: Path) -> Iterator[RunningServer]:
    with running_server(bundles, {"BIGBIRD_CPU_RUNTIME": "onnxruntime", "BIGBIRD_WARM_UP_SECONDS": "0"}) as running:
        yield running


def document(name: str) -> str:
    return (ROOT / "examples" / "documents" / f"{name}.txt").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", ["legal", "financial", "inspection", "short"])
def test_one_click_answers_the_question_of_each_example(name: str, open_page: OpenPage) -> None:
    page = open_page()
    page.click(f"[data-example={name}]")
    page.wait_for_selector(f"[data-example={name}][aria-pressed=true]")
    ask(page)
    answer, tag = marks(page)[0] if len(marks(page)) == 1 else _current(page)
    assert answer == EXPECTED[f"qa-{name}.json"]
    assert tag.endswith("%")
    before = len(text_before(page, "mark.current"))
    assert document(name)[before : before + len(answer)] == answer
    assert cells(page)[0][3] == f"{before}–{before + len(answer)}"
    windows = page.locator("#ruler .ruler-window").count()
    assert windows == int(dict(fact.inner_text().split("\n") for fact in page.locator("#cost .fact").all())["Windows"])
    assert (windows > 1) == (name != "short")


def _current(page: Any) -> tuple[str, str]:
    pieces = page.locator("#reading mark.current")
    return "".join(pieces.all_text_contents()), pieces.last.get_attribute("data-tag")


def test_the_long_example_is_classified_from_all_its_windows(open_page: OpenPage) -> None:
    page = open_page("/#task=classify")
    page.wait_for_selector("#reading .block")
    ask(page)
    assert cells(page)[0][0] == EXPECTED["classify-legal.json"]
    shares = page.locator("#result .shares").first.get_attribute("aria-label")
    assert shares is not None and shares.count("Window") == page.locator("#ruler .ruler-window").count() > 5


def test_the_entities_of_the_short_example_are_marked(open_page: OpenPage) -> None:
    page = open_page("/#task=ner")
    page.click("[data-example=short]")
    page.wait_for_selector("[data-example=short][aria-pressed=true]")
    ask(page)
    assert [[label, text] for text, label in marks(page)] == EXPECTED["ner-short.json"]
