"""The soak itself: areas in processes of their own, one table, an honest exit status."""

import json
from pathlib import Path

import pytest

from tests.reliability import soak
from tests.reliability.report import Report
from tests.reliability.served import BUNDLES_VARIABLE


@pytest.fixture
def soaked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, float]]:
    """Areas that have run, which do nothing but say so; `faults` fails at first."""
    ran: list[tuple[str, float]] = []

    def run(area: str, scale: float) -> dict[str, object]:
        ran.append((area, scale))
        failures = ["something broke"] if area == "faults" and len(ran) < 3 else []
        facts = {"answers": "200: 5", "worst recovery": "0.5 s", "clients": "3"}
        return {
            "area": area,
            "inputs": 5000,
            "failures": failures,
            "lost": 0,
            "wrong": 0,
            "injected": 7,
            "facts": facts,
            "seconds": 1.5,
            "scale": scale,
        }

    monkeypatch.setattr(soak, "_run_in_a_process", run)
    monkeypatch.setenv(BUNDLES_VARIABLE, str(tmp_path))
    return ran


def test_the_table_has_a_row_for_each_area_and_a_failure_is_the_exit_status(
    soaked: list[tuple[str, float]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--areas", "load", "faults", "--scale", "0.5", "--output", str(tmp_path)]
    assert soak.main(arguments) == 1
    assert soaked == [("load", 0.5), ("faults", 0.5)]
    printed = capsys.readouterr().out
    assert "| load | 5,000 | 200: 5 |  | 0.5 s | 0 | 0 | 7 | 0 |" in printed
    assert "| faults | 5,000 | 200: 5 |  | 0.5 s | 0 | 0 | 7 | 1 |" in printed
    assert "- FAILED, faults: something broke" in printed
    assert "- load: clients 3" in printed
    assert "`python -m tests.reliability.soak --areas load faults --scale 0.5`" in printed
    assert json.loads((tmp_path / "reliability.json").read_text())["areas"]["faults"]["failures"] == ["something broke"]


def test_a_run_that_is_resumed_repeats_only_what_has_not_passed(
    soaked: list[tuple[str, float]], tmp_path: Path
) -> None:
    arguments = ["--areas", "load", "faults", "--output", str(tmp_path)]
    assert soak.main(arguments) == 1
    assert soak.main([*arguments, "--resume"]) == 0
    assert [area for area, _ in soaked] == ["load", "faults", "faults"]


def test_the_table_replaces_the_one_between_the_marks_of_a_page(
    soaked: list[tuple[str, float]], tmp_path: Path
) -> None:
    page = tmp_path / "page.md"
    page.write_text("before\n<!-- soak: begin -->\nold\n<!-- soak: end -->\nafter\n")
    soak.main(["--areas", "load", "--output", str(tmp_path), "--docs", str(page)])
    text = page.read_text()
    assert text.startswith("before\n<!-- soak: begin -->") and text.endswith("<!-- soak: end -->\nafter\n")
    assert "| load |" in text and "old" not in text


def test_an_area_whose_process_dies_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(soak.sys, "executable", "/bin/false")
    result = soak._run_in_a_process("load", 0.01)
    assert result["failures"] == ("the area's process ended with status 1",)


def test_an_area_that_raises_is_a_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(scale: float) -> Report:
        raise RuntimeError("no such thing")

    monkeypatch.setattr("tests.reliability.faults.run", run)
    soak._run_here("faults", 0.1, tmp_path / "report.json")
    failures = json.loads((tmp_path / "report.json").read_text())["failures"]
    assert failures == ["the area itself failed: RuntimeError('no such thing')"]
