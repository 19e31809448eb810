from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]


def test_the_effects_shown_are_what_the_benchmark_wrote() -> None:
    table = (ROOT / "benchmarks" / "results" / "pattern_differences.md").read_text(encoding="utf-8")
    assert table in (ROOT / "docs" / "which_bigbird.md").read_text(encoding="utf-8")
