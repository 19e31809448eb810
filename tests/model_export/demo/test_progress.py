import io
import sys
from pathlib import Path

import pytest

from model_export.demo.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_shows_a_bar_with_stage_and_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    progress = Progress("qa", tmp_path / "log")
    progress.step(0, 1, 2, 0.5)
    progress.step(1, 1, 4, 0.25)
    progress.close()
    assert "qa stage 1" in terminal.getvalue()
    assert "qa stage 2" in terminal.getvalue()
    assert "loss=0.250" in terminal.getvalue()


def test_elsewhere_there_are_plain_lines_and_not_one_for_each_step(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    progress = Progress("qa", tmp_path / "log")
    for step in range(1, 50):
        progress.step(0, step, 100, 0.5)
    assert capsys.readouterr().out.splitlines() == ["qa stage 1: step 1 of at most 100, loss 0.500"]


def test_notes_are_appended_to_the_log(tmp_path: Path) -> None:
    log = tmp_path / "folder" / "log"
    for _ in range(2):
        Progress("qa", log).note("measured")
    assert [line.split(" ", 1)[1] for line in log.read_text().splitlines()] == ["measured", "measured"]
