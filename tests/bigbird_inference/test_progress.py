import io
import sys

import pytest

from bigbird_inference.progress import Progress, track


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class FullDisk(Terminal):
    def write(self, text: str) -> int:
        raise OSError(28, "No space left on device")


def test_plain_lines_tell_what_is_worked_on_where_there_is_no_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    seen = []
    for item in track([128, 256], 2, lambda length: f"bucket {length}"):
        seen.append((item, capsys.readouterr().err))
    assert seen == [(128, "[1/2] bucket 128\n"), (256, "[2/2] bucket 256\n")]
    captured = capsys.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_terminal_gets_a_bar_with_the_current_item(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    assert list(track(["a", "b", "c"], 3, lambda item: f"bucket {item}")) == ["a", "b", "c"]
    printed = terminal.getvalue()
    assert "bucket a" in printed
    assert "3/3" in printed


def test_a_terminal_that_cannot_draw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "dumb")
    assert list(track([1, 2], 2, str)) == [1, 2]
    with Progress("answers", 1, "answer") as progress:
        progress.advance()
    assert terminal.getvalue() == "[1/2] 1\n[2/2] 2\nanswers: 1/1\n"


@pytest.mark.parametrize(
    ("total", "counts"),
    [
        pytest.param(40, [4, 8, 12, 16, 20, 24, 28, 32, 36, 40], id="every tenth of many requests"),
        pytest.param(3, [1, 2, 3], id="every one of few"),
    ],
)
def test_a_plain_line_tells(capsys: pytest.CaptureFixture[str], total: int, counts: list[int]) -> None:
    with Progress("demo", total, "request") as progress:
        for _ in range(total):
            progress.advance()
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"demo: {done}/{total}" for done in counts]
    assert captured.out == ""


def test_a_terminal_gets_a_bar_with_the_description(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with Progress("demo", 1, "request") as progress:
        progress.advance()
    assert "demo: 100%" in terminal.getvalue()


def test_nothing_is_shown_for_no_work(capsys: pytest.CaptureFixture[str]) -> None:
    assert list(track([], 0, str)) == []
    assert capsys.readouterr().err == ""


def test_an_error_in_the_work_passes_through() -> None:
    with pytest.raises(RuntimeError, match="broken"):
        for _ in track([1, 2], 2, str):
            raise RuntimeError("broken")


@pytest.mark.parametrize("terminal", ["dumb", "xterm"])
def test_work_goes_on_where_nothing_can_be_printed(monkeypatch: pytest.MonkeyPatch, terminal: str) -> None:
    monkeypatch.setattr(sys, "stderr", FullDisk())
    monkeypatch.setenv("TERM", terminal)
    with Progress("answers", 2, "answer") as progress:
        progress.advance()
        progress.advance()


def test_work_goes_on_with_standard_error_closed(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "stderr", None)
    assert list(track([1, 2], 2, str)) == [1, 2]
    assert capsys.readouterr().out == ""
