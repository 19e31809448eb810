"""How much is held at once, and that a row about which much is asked is not lost or written twice."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from bulk import parts
from bulk.answering import PartAnswering
from bulk.job import Job, run_job
from bulk.job_folder import Counts
from bulk.model import load
from bulk.parts import Part

QUESTIONS = [f"Who is number {number}?" for number in range(40)]


class Stopped(Exception):
    """Stands for a kill between two pieces."""


@pytest.fixture
def given(tmp_path: Path) -> Path:
    path = tmp_path / "in.jsonl"
    lines = [{"context": "one"}, {"context": "two " * 30, "question": QUESTIONS}, {"context": "three"}]
    path.write_text("".join(json.dumps({"question": "Who?", **line}) + "\n" for line in lines))
    return path


def run(given: Path, output: Path, bundle: Path) -> Counts:
    return run_job(Job([str(given)], output), lambda: load(bundle, threads=1))


def test_a_row_about_which_much_is_asked_comes_in_pieces_and_goes_on_between_them(
    tmp_path: Path, small_bundles: Path, given: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = small_bundles / "small-qa"
    whole = run(given, tmp_path / "whole.jsonl", bundle)
    monkeypatch.setattr(parts, "_TOKENS", 400)
    answered: list[int] = []
    original = PartAnswering.answers

    def answers(self: PartAnswering, part: Part) -> Iterator[Any]:
        if len(answered) in (2, 4):
            answered.append(0)
            raise Stopped
        answered.append(len(part.items))
        yield from original(self, part)

    monkeypatch.setattr(PartAnswering, "answers", answers)
    output = tmp_path / "out.jsonl"
    for _ in range(2):
        with pytest.raises(Stopped):
            run(given, output, bundle)
    assert run(given, output, bundle) == whole
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert sum(answered) == whole.rows == 42 and max(answered) < 20
