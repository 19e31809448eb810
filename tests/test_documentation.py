"""What the documentation says is there."""

import re
from pathlib import Path

import pytest

from scripts import write_checkpoints_page, write_settings, write_task_fields

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = tuple(ROOT / "examples" / folder / "README.md" for folder in (".", "clients", "gold"))
PAGES = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").glob("*.md"), *EXAMPLES])


def test_settings_page_is_up_to_date() -> None:
    assert write_settings.PAGE.read_text(encoding="utf-8") == write_settings.page(), (
        "run python -m scripts.write_settings"
    )


def test_fields_page_is_up_to_date() -> None:
    fields = write_task_fields.PAGE.read_text(encoding="utf-8")
    assert fields == write_task_fields.page(), "run python -m scripts.write_task_fields"


def test_checkpoints_page_is_up_to_date() -> None:
    checkpoints = write_checkpoints_page.PAGE.read_text(encoding="utf-8")
    assert checkpoints == write_checkpoints_page.page(), "run python -m scripts.write_checkpoints_page"


def test_every_page_is_in_the_index() -> None:
    pages = {file.name for file in (ROOT / "docs").glob("*.md")} - {"index.md"}
    linked = set(re.findall(r"\]\(([a-z_]+\.md)\)", (ROOT / "docs" / "index.md").read_text(encoding="utf-8")))
    assert linked == pages


def test_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) <= 130


@pytest.mark.parametrize(
    ("page", "table"), [("docs/demo.md", "demo_accuracy_summary.md"), ("docs/demo.md", "demo_accuracy.md")]
)
def test_the_accuracy_printed_is_what_the_benchmark_wrote(page: str, table: str) -> None:
    table = (ROOT / "benchmarks" / "results" / table).read_text(encoding="utf-8")
    assert table in (ROOT / page).read_text(encoding="utf-8")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_between_pages_and_files_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text(encoding="utf-8"))
    local = [link for link in links if "://" not in link]
    assert not [link for link in local if not (page.parent / link).exists()]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_make_targets_that_are_mentioned_exist(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE))
    mentioned = set(re.findall(r"(?:^ {4}|`)make ([a-z-]+)", page.read_text(encoding="utf-8"), re.MULTILINE))
    assert mentioned <= targets


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_no_page_has_a_place_that_was_left_to_be_filled(page: Path) -> None:
    assert not re.findall(r"@[A-Z_]+@|TODO|TBD", page.read_text(encoding="utf-8"))


def test_the_example_of_an_option_is_the_code_that_there_is() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), re.DOTALL)
    module = re.findall(r"^# (\S+\.py)", example, re.MULTILINE)[0]
    code = {line.strip() for line in (ROOT / module).read_text(encoding="utf-8").splitlines()}
    lines = {line.strip() for line in example.splitlines() if line.strip() and not line.startswith("#")}
    assert lines and lines <= code
