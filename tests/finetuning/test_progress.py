import io
import sys
from pathlib import Path

import pytest

from finetuning.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_stage_and_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("qa")
    progress.step("stage 1", 1, 2, 0.5)
    progress.step("stage 2", 1, 4, 0.25)
    progress.close()
    assert "qa stage 1" in terminal.getvalue()
    assert "qa stage 2" in terminal.getvalue()
    assert "loss=0.250" in terminal.getvalue()


def test_elsewhere_there_are_plain_lines_and_not_one_for_each_step(capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress("qa")
    for step in range(1, 50):
        progress.step("", step, 100, 0.5)
    printed = capsys.readouterr()
    assert printed.err.splitlines() == ["qa: 1/100, loss 0.500"]
    assert printed.out == ""


def test_notes_are_shown_and_appended_to_the_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = tmp_path / "folder" / "log"
    for _ in range(2):
        Progress("qa", log).note("measured")
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == ["measured", "measured"]
    assert capsys.readouterr().err == "measured\nmeasured\n"
