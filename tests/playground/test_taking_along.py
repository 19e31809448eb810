"""What can be taken along: requests that can be run, answers and entities that other tools read, and a link."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from evaluation.data.conll import read_conll
from tests.foreign_programs import find_program
from tests.playground.conftest import OpenPage, ask, choose_task, downloaded, downloaded_json, open_file, write_document

pytestmark = pytest.mark.integration

TEXT = "[PER Zoë 🚀 Åse] met\n\n[LOC Oslo]'s  “mayor”, e\u0301.\r\nIt said: 'JSON'\nJSON\n\"quoted\" \\ $HOME `x`\n"


def answered(open_page: OpenPage) -> Any:
    page = open_page()
    choose_task(page, "ner")
    page.wait_for_selector("#reading .block")
    open_file(page, "text.txt", TEXT)
    ask(page)
    page.click("#take summary")
    return page


def test_the_request_runs_as_it_is_copied(open_page: OpenPage, tmp_path: Path) -> None:
    page = answered(open_page)
    listed = downloaded_json(page, "[data-file='answer.json']")["entities"]
    assert [entity["text"] for entity in listed] == ["Zoë 🚀 Åse", "Oslo"]
    programs = {
        "curl": ["bash"],
        "python": [sys.executable],
        "javascript": [find_program("node", "nodejs"), "--input-type=module"],
    }
    for kind, command in programs.items():
        page.click(f"#taken [data-kind={kind}]")
        program = page.evaluate("document.querySelector('#taken pre').textContent")
        ended = subprocess.run([*command], input=program, text=True, capture_output=True, check=False, cwd=tmp_path)
        assert ended.returncode == 0, (kind, ended.stderr)
        assert json.loads(ended.stdout)["entities"] == listed


def test_entities_are_read_back_from_conll(open_page: OpenPage, tmp_path: Path) -> None:
    page = answered(open_page)
    file = tmp_path / "entities.conll"
    file.write_text(downloaded(page, "[data-file='entities.conll']"), encoding="utf-8")
    read = read_conll(file)
    assert [
        (entity.label, text.text[entity.start : entity.end]) for text in read.texts for entity in text.entities
    ] == [("PER", "Zoë 🚀 Åse"), ("LOC", "Oslo")]
    # A sentence for each line.
    assert [len(text.words) for text in read.texts] == [7, 12, 6, 1, 9]


def test_entities_are_read_back_from_spacys_form(open_page: OpenPage) -> None:
    read = downloaded_json(answered(open_page), "[data-file='entities.spacy.json']")
    assert read["text"] == TEXT
    assert [(TEXT[ent["start"] : ent["end"]], ent["label"]) for ent in read["ents"]] == [
        ("Zoë 🚀 Åse", "PER"),
        ("Oslo", "LOC"),
    ]
    # As spaCy reads it: words, and whether a space follows; together they are the text.
    spans = [(token["start"], token["end"]) for token in read["tokens"]]
    assert (
        "".join(
            TEXT[start:end] + " " * (number + 1 < len(spans) and spans[number + 1][0] != end)
            for number, (start, end) in enumerate(spans)
        )
        == TEXT
    )
    edges = [{edge[side] for edge in spans} for side in (0, 1)]
    assert all(ent["start"] in edges[0] and ent["end"] in edges[1] for ent in read["ents"])


def test_entities_are_read_back_from_label_studios_form(open_page: OpenPage) -> None:
    (task,) = downloaded_json(answered(open_page), "[data-file='entities.label-studio.json']")
    assert task["data"] == {"text": TEXT}
    (prediction,) = task["predictions"]
    assert prediction["model_version"] == "fake-ner"
    values = [result["value"] for result in prediction["result"]]
    assert [(TEXT[value["start"] : value["end"]], value["text"], value["labels"]) for value in values] == [
        ("Zoë 🚀 Åse", "Zoë 🚀 Åse", ["PER"]),
        ("Oslo", "Oslo", ["LOC"]),
    ]


def test_a_link_carries_task_model_and_question_but_no_document(open_page: OpenPage) -> None:
    page = open_page(permissions=["clipboard-read", "clipboard-write"])
    write_document(page, "A secret: Oslo & Bergen?")
    ask(page, "Oslo & Bergen?")
    page.click("#take summary")
    page.get_by_text("Copy a link").click()
    expect(page.locator("#status")).to_contain_text("Link copied")
    link = page.evaluate("navigator.clipboard.readText()")
    assert link.endswith("/#task=qa&model=fake-qa&question=Oslo+%26+Bergen%3F")
    other = open_page(link[link.index("/#") :])
    other.wait_for_selector("#reading .block")
    assert other.input_value("#fields textarea") == "Oslo & Bergen?"
    assert "secret" not in other.content()


def test_a_link_carries_the_model_of_tasks_about_several_texts(open_page: OpenPage) -> None:
    page = open_page("/#task=embed", permissions=["clipboard-read", "clipboard-write"])
    ask(page)
    page.click("#take summary")
    page.get_by_text("Copy a link").click()
    expect(page.locator("#status")).to_contain_text("Link copied")
    assert page.evaluate("navigator.clipboard.readText()").endswith("/#task=embed&model=fake-embed")


def test_the_address_is_one_word_for_the_shell(open_page: OpenPage) -> None:
    page = open_page()
    page.wait_for_selector("#reading .block")
    address = "http://127.0.0.1/it's/a$PATH/qa"
    program = page.evaluate(
        """async (address) => {
            const { snippets } = await import(new URL("playground/snippets.js", document.baseURI));
            return snippets(address, {}, false).curl;
        }""",
        address,
    )
    shown = subprocess.run(
        ["bash"], input='curl() { printf %s "$2"; }\n' + program, text=True, capture_output=True, check=True
    )
    assert shown.stdout == address
