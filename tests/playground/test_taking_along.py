"""What can be taken along: requests that can be run, answers and entities that other tools read, and a link."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import expect

from evaluation.data.conll import read_conll
from tests.clients.environment import make_environment
from tests.foreign_programs import find_program
from tests.playground.conftest import (
    OpenPage,
    ask,
    call,
    choose_task,
    downloaded,
    downloaded_json,
    open_file,
    write_document,
)

pytestmark = pytest.mark.integration

TEXT = "[PER Zoë 🚀 Åse] met\n\n[LOC Oslo]'s  “mayor”, e\u0301.\r\nIt said: 'JSON'\nJSON\n\"quoted\" \\ $HOME `x`\n"


def entities_of(text: str, *found: tuple[str, str, int]) -> list[dict[str, Any]]:
    """Return entities as the service does: a label, what has it, and where the search for that begins."""
    starts = [text.index(own, first) for _, own, first in found]
    return [
        {"entity": label, "text": own, "start": start, "end": start + len(own), "score": 0.5}
        for (label, own, _), start in zip(found, starts, strict=True)
    ]


NESTED = "The Bank of Oslo in Oslo, and Oslo 🚀 Bank."
NESTED_ENTITIES = entities_of(
    NESTED,
    ("ORG", "Bank of Oslo", 0),
    ("LOC", "Oslo", 0),
    ("LOC", "Oslo", 18),
    ("ORG", "Oslo 🚀", 26),
    ("ORG", "🚀 Bank", 26),
)
TOKENS = "Zoë Åse paid 3.14 in Oslo 🚀"
# Pieces of one emoji all have its place.
TOKEN_ENTITIES = entities_of(
    TOKENS,
    ("B-PER", "Zo", 0),
    ("I-PER", "ë", 0),
    ("I-PER", "Åse", 0),
    ("S-SUM", "3.14", 0),
    ("LOC OR SO", "Oslo", 0),
    ("B-MISC", "🚀", 0),
    ("I-MISC", "🚀", 0),
)


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


def test_of_overlapping_entities_conll_has_the_longest(open_page: OpenPage) -> None:
    written = call(open_page(), "exports.js", "conll", NESTED, NESTED_ENTITIES)
    words = "The=O Bank=B-ORG of=I-ORG Oslo=I-ORG in=O Oslo=B-LOC ,=O and=O Oslo=B-ORG 🚀=I-ORG Bank=O .=O"
    assert written == words.replace("=", "\t").replace(" ", "\n") + "\n"


def test_labels_of_tokens_stand_in_conll_as_they_are(open_page: OpenPage) -> None:
    written = call(open_page(), "exports.js", "conll", TOKENS, TOKEN_ENTITIES, True)
    words = "Zo=B-PER ë=I-PER Åse=I-PER paid=O 3.14=S-SUM in=O Oslo=I-LOC_OR_SO 🚀=B-MISC"
    assert written == words.replace("=", "\t").replace(" ", "\n") + "\n"


def test_what_a_form_leaves_out_is_said(open_page: OpenPage) -> None:
    page = open_page()
    choose_task(page, "ner")
    write_document(page, "The [ORG Bank|of Oslo] opened. [PER Ann]")
    page.click("#options summary")
    page.locator("#option-fields select").select_option("none")
    ask(page)
    page.click("#take summary")
    expect(page.locator("#taken")).to_contain_text("1 entity left out of CoNLL")
    # A label without a position, of a token.
    assert "Ann\tI-PER\n" in downloaded(page, "[data-file='entities.conll']")


@pytest.fixture(scope="module")
def spacy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with spaCy, which needs other versions of some packages than we do."""
    return make_environment(tmp_path_factory.mktemp("spacy"), "spacy==3.8.18")


def test_spacy_reads_all_that_is_exported(open_page: OpenPage, spacy: Path, tmp_path: Path) -> None:
    page = answered(open_page)
    files = [tmp_path / f"{name}.json" for name in ("page", "nested", "tokens")]
    files[0].write_text(downloaded(page, "[data-file='entities.spacy.json']"), encoding="utf-8")
    for file, text, entities in ((files[1], NESTED, NESTED_ENTITIES), (files[2], TOKENS, TOKEN_ENTITIES)):
        file.write_text(json.dumps(call(page, "exports.js", "spacy", text, entities)), encoding="utf-8")
    script = Path(__file__).with_name("read_spacy.py")
    ended = subprocess.run([spacy, script, *files], text=True, capture_output=True, check=False)
    assert ended.returncode == 0, ended.stderr
    read = [json.loads(line) for line in ended.stdout.splitlines()]
    assert [one["text"] for one in read] == [TEXT, NESTED, TOKENS]
    assert [one["ents"] for one in read] == [
        [["PER", "Zoë 🚀 Åse"], ["LOC", "Oslo"]],
        [["ORG", "Bank of Oslo"], ["LOC", "Oslo"], ["ORG", "Oslo 🚀"]],
        [[one["entity"], one["text"]] for one in TOKEN_ENTITIES[:-1]],
    ]
    assert [one["spans"] for one in read[1:]] == [
        [[one["entity"], one["text"]] for one in entities] for entities in (NESTED_ENTITIES, TOKEN_ENTITIES)
    ]


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
    expect(page.locator("#taken [role=status]")).to_contain_text("Link copied")
    expect(page.locator("#taken [role=status]")).to_be_in_viewport()
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
    expect(page.locator("#taken [role=status]")).to_contain_text("Link copied")
    expect(page.locator("#taken [role=status]")).to_be_in_viewport()
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
    loaded = subprocess.run(
        ["bash"], input='curl() { printf %s "$2"; }\n' + program, text=True, capture_output=True, check=True
    )
    assert loaded.stdout == address
