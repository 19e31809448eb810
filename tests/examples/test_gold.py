"""The documents that are labelled by hand: that what is said about them is so."""

import json
import re
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gold_entities import GOLD, LABELS
from evaluation.data.entity_texts import read_entity_texts

README = (GOLD.parent / "README.md").read_text(encoding="utf-8")
NOTICE = (GOLD.parent / "NOTICE.md").read_text(encoding="utf-8")
SOURCES: list[dict[str, Any]] = json.loads((GOLD.parent / "sources.json").read_text(encoding="utf-8"))
DOCUMENTS: list[dict[str, Any]] = [json.loads(line) for line in GOLD.read_text(encoding="utf-8").splitlines()]
RESULTS = Path(__file__).resolve().parents[2] / "benchmarks" / "results" / "gold_entities.md"


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document["id"])
def test_entities_are_whole_words_of_one_sentence_each(document: dict[str, Any]) -> None:
    text, sentences = document["text"], document["sentences"]
    for start, end, label in document["entities"]:
        entity = text[start:end]
        assert entity == entity.strip(), (entity, label)
        assert any(first <= start and end <= last for first, last in sentences), (entity, label)
    between = [0, *(place for sentence in sentences for place in sentence), len(text)]
    assert between == sorted(between)
    assert not "".join(text[end:start] for end, start in zip(between[::2], between[1::2], strict=True)).strip()


def test_the_reader_takes_all_of_it_and_no_entity_cuts_through_a_word() -> None:
    file = read_entity_texts(GOLD, model_labels=[f"{prefix}-{label}" for label in LABELS for prefix in "BI"] + ["O"])
    assert [text.text for text in file.texts] == [document["text"] for document in DOCUMENTS]
    assert sum(text.count_cuts((one.start, one.end) for one in text.entities) for text in file.texts) == 0


def test_every_document_has_a_source_a_licence_and_a_notice() -> None:
    assert [source["id"] for source in SOURCES] == [document["id"] for document in DOCUMENTS]
    for source in SOURCES:
        assert {"kind", "title", "author", "package", "file", "licence", "changes"} <= {*source}
        assert all(source["package"][field] for field in ("index", "name", "version"))
        assert source["licence"] != "CC-BY-SA-3.0" or source["link"].startswith("https://")
        assert f"`{source['id']}`" in NOTICE


def test_the_counts_in_the_readme_are_those_of_the_documents() -> None:
    labels = Counter(label for document in DOCUMENTS for _, _, label in document["entities"])
    assert dict(re.findall(r"^\| ([A-Z]+) \| (\d+) \|", README, re.MULTILINE)) == {
        label: str(labels[label]) for label in LABELS
    }
    rows = re.findall(r"^\| `([a-z0-9-]+)` \| ([a-z ]+) \| (\d+) \| (\d+) \|$", README, re.MULTILINE)
    assert rows == [
        (document["id"], source["kind"], str(len(document["sentences"])), str(len(document["entities"])))
        for document, source in zip(DOCUMENTS, SOURCES, strict=True)
    ]
    assert (
        README.split("\n\n")[1]
        .replace("\n", " ")
        .startswith(
            f"{len(DOCUMENTS)} documents of eight kinds with {sum(int(row[2]) for row in rows)} sentences and "
            f"{labels.total():,} entities,"
        )
    )
    assert len({source["kind"] for source in SOURCES}) == 8


def test_the_figures_in_the_readme_are_those_that_were_measured() -> None:
    printed = re.findall(r"\d\.\d{3} \(\d\.\d{3} to \d\.\d{3}\)", README)
    measured = RESULTS.read_text(encoding="utf-8")
    assert len(printed) > 10
    assert not [figure for figure in printed if figure not in measured]
