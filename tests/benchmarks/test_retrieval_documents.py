"""Which long documents are taken, and for what."""

import json
from pathlib import Path

import pytest

from benchmarks.retrieval_documents import LongDocument, evenly_spaced, part_of, read_documents


@pytest.mark.parametrize(
    ("count", "most", "taken"), [(3, 5, [0, 1, 2]), (10, 5, [0, 2, 4, 6, 8]), (10, 4, [0, 2, 5, 7]), (0, 4, [])]
)
def test_documents_are_taken_from_the_first_on_as_evenly_as_can_be(count: int, most: int, taken: list[int]) -> None:
    assert evenly_spaced(range(count), most) == taken


def test_one_in_four_is_for_choosing() -> None:
    assert [number for number in range(12) if part_of(number) == "choosing"] == [3, 7, 11]


def test_a_line_separator_in_a_text_ends_no_line(tmp_path: Path) -> None:
    row = {"source": "mails", "name": "one", "text": "a\u2028b", "part": "reporting"}
    file = tmp_path / "documents.jsonl"
    file.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    assert read_documents(file) == [LongDocument("mails", "one", "a\u2028b", "reporting")]
