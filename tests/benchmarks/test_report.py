import json
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from benchmarks.report import machine_facts, markdown, table, write_report


def test_columns_stand_in_the_order_in_which_they_are_first_met() -> None:
    rows = [{"name": "a", "seconds": 1.5}, {"name": "b", "runs": 3}]
    assert table(rows) == [
        "| name | seconds | runs |",
        "|---|---|---|",
        "| a | 1.50 |  |",
        "| b |  | 3 |",
    ]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        pytest.param(None, "", id="nothing is an empty cell"),
        pytest.param(True, "yes", id="a truth is a word"),
        pytest.param(4096, "4,096", id="whole numbers keep every digit"),
        pytest.param(1234.56, "1,235", id="large fractions are rounded to whole numbers"),
        pytest.param(99.96, "100", id="rounding up to three digits leaves no point behind"),
        pytest.param(12.345, "12.3", id="others to three digits"),
        pytest.param(2.0, "2.00", id="with their zeros"),
        pytest.param(0.012345, "0.0123", id="small ones too"),
        pytest.param("a|b", "a\\|b", id="a bar does not end the cell"),
    ],
)
def test_values_are_written_for_people(value: object, cell: str) -> None:
    assert table([{"value": value}])[2] == f"| {cell} |"


def test_the_page_holds_table_plot_notes_and_machine_in_this_order() -> None:
    page = markdown("Speed", [{"runs": 3}], ["Medians."], {"cores": 2}, "speed.png")
    assert page == "# Speed\n\n| runs |\n|---|\n| 3 |\n\n![Speed](speed.png)\n\n- Medians.\n- cores: 2\n"


def test_a_report_is_written_as_json_markdown_and_plot(tmp_path: Path) -> None:
    folder = tmp_path / "results"
    write_report("speed", "Speed", [{"seconds": 0.123456789}], ["A note."], Figure(), folder)
    written = json.loads((folder / "speed.json").read_text())
    assert written["rows"] == [{"seconds": 0.123456789}]
    assert written["notes"] == ["A note."]
    assert written["machine"]["cores"] >= 1
    assert "| 0.123 |" in (folder / "speed.md").read_text()
    assert (folder / "speed.png").read_bytes().startswith(b"\x89PNG")


def test_a_report_without_a_figure_names_no_plot(tmp_path: Path) -> None:
    write_report("speed", "Speed", [{"seconds": 1.0}], [], folder=tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == ["speed.json", "speed.md"]
    assert "speed.png" not in (tmp_path / "speed.md").read_text()


def test_the_machine_is_described_by_what_figures_depend_on() -> None:
    assert {"date", "cpu", "instruction sets", "cores", "memory", "versions"} <= set(machine_facts())
    assert "onnxruntime" in str(machine_facts()["versions"])
