import sys

import pytest

from bigbird_inference.progress import Progress


def count(total: int) -> None:
    with Progress("demo", total, "request") as progress:
        for _ in range(total):
            progress.advance()


@pytest.mark.parametrize(
    ("total", "counts"),
    [
        pytest.param(40, [4, 8, 12, 16, 20, 24, 28, 32, 36, 40], id="every tenth of many requests"),
        pytest.param(3, [1, 2, 3], id="every one of few"),
    ],
)
def test_a_plain_line_tells(capsys: pytest.CaptureFixture[str], total: int, counts: list[int]) -> None:
    count(total)
    captured = capsys.readouterr()
    assert captured.err.splitlines() == [f"demo: {done}/{total}" for done in counts]
    assert captured.out == ""


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    count(3)
    printed = capsys.readouterr().err
    assert "demo: 100%" in printed
    assert "3/3" in printed
