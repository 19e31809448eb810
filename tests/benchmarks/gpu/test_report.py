from pathlib import Path

import pytest

from benchmarks.gpu.contenders import DENSE, OURS, TRANSFORMERS
from benchmarks.gpu.report import BEGIN, END, fill_docs, section, speed_rows, targets, write_page
from benchmarks.gpu.results import Cells, Results
from benchmarks.report import RESULTS
from tests.benchmarks.gpu.examples import FACTS, GIGA, example, timed

pytestmark = pytest.mark.slow

PERFORMANCE = Path(__file__).resolve().parents[3] / "docs" / "performance.md"


def test_every_target_is_held_against_what_was_measured(tmp_path: Path) -> None:
    results = example(tmp_path)
    assert [tuple(target.row().values())[1:] for target in targets(results)] == [
        ("at least 1", "1.00"),
        ("at least 5", "6.00"),
        ("at least 1.2", "1.50"),
        ("at least 0.45", "0.60"),
        ("at least 0.45", "0.50"),
        ("at most 4.4", "4.00"),
        ("at least 0.85", "0.90"),
        ("at most 1.15", "1.10"),
    ]
    assert all(target.reached for target in targets(results))


@pytest.mark.parametrize(
    ("cells", "missed"),
    [
        pytest.param({"kernels/4096": {"CUDNN_FLASH_ATTENTION": 12, "MATH": 12}}, {0}, id="one operator is not fused"),
        pytest.param({"kernels/512": {}}, {0}, id="a bucket printed no kernel"),
        pytest.param({"memory/all": {"bytes": 5 * GIGA}}, {7}, id="too much memory"),
        pytest.param(
            {f"speed/4096/2/{OURS}": timed(16.0), f"speed/4096/4/{OURS}": timed(40.0, operations=20 * GIGA)},
            {1, 2, 4, 5},
            id="long documents that take twice as long",
        ),
        pytest.param({"server/mixed": {"unmeasured": "no time was left"}}, {6}, id="one was not measured"),
    ],
)
def test_what_is_not_enough_is_missed(cells: Cells, missed: set[int], tmp_path: Path) -> None:
    results = example(tmp_path)
    results.keep(cells)
    assert {number for number, target in enumerate(targets(results)) if not target.reached} == missed


def test_a_row_holds_times_rates_and_the_share_of_the_ceiling(tmp_path: Path) -> None:
    row = speed_rows(example(tmp_path))[0]
    assert (row["tokens"], row["documents"], row["contender"], row["repeats"]) == (1024, 1, OURS, 3)
    assert (row["median ms"], row["fastest ms"], row["slowest ms"]) == (5.0, 4.0, 9.0)
    assert (row["documents/s"], row["tokens/s"]) == (200.0, 204_800.0)
    # 5e9 operations in 5 ms, by 2e12 in a second.
    assert row["share of ceiling"] == 0.5


def test_the_page_has_every_figure_and_names_every_gap(tmp_path: Path) -> None:
    write_page(example(tmp_path), tmp_path)
    page = (tmp_path / "gpu.md").read_text()
    for part in ("| fused_attention | on |", "| none/1024 |", "| 2 x 2 x 8 |", "| mixed |", "- gpu: an example"):
        assert part in page
    assert f"- no figures of speed/4096/4/{TRANSFORMERS}: MemoryError: no room" in page


def test_the_section_of_a_page_is_replaced_and_nothing_else(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    for _ in range(2):
        fill_docs(example(tmp_path), page)
    text = page.read_text()
    assert text.startswith(f"before\n{BEGIN}\n\nWritten by")
    assert text.endswith(f"\n\n{END}\nafter\n")
    assert "old" not in text
    assert "an example; torch 9" in text
    assert "| iobinding | no_gain | it takes 3 ms |" in text
    assert f"| {DENSE} |  | 167 |" in text


def test_the_documentation_says_what_has_been_measured() -> None:
    if not (RESULTS / "gpu.json").exists():
        assert f"{BEGIN}\n\n{section(Results(RESULTS / 'gpu.json', FACTS))}\n\n{END}" in PERFORMANCE.read_text()
