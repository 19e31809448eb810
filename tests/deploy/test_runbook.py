"""docs/operations.md is where alerts lead: what they, the dashboards and the benchmarks are called must be in step."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from service.settings import Settings, environment_name

ROOT = Path(__file__).resolve().parents[2]
RUNBOOK = ROOT / "docs" / "operations.md"
PAGES = [RUNBOOK, ROOT / "docs" / "kubernetes.md"]
DASHBOARDS = ROOT / "deploy" / "grafana" / "dashboards"


def page(path: Path = RUNBOOK) -> str:
    return path.read_text(encoding="utf-8")


def headings(path: Path = RUNBOOK) -> list[str]:
    return re.findall(r"^#+ (.+)$", page(path), re.MULTILINE)


def anchor(heading: str) -> str:
    """Return what a link to a heading ends with, where Markdown is rendered on the web."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def alerts() -> list[dict[str, Any]]:
    files = sorted((ROOT / "deploy" / "prometheus" / "rules").glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(page(path))["groups"]]
    return [rule for group in groups for rule in group["rules"] if "alert" in rule]


@pytest.mark.parametrize("alert", alerts(), ids=lambda alert: str(alert["alert"]))
def test_the_link_of_an_alert_leads_to_the_section_of_its_name(alert: dict[str, Any]) -> None:
    file, _, place = alert["annotations"]["runbook_url"].partition("#")
    assert file.endswith("docs/operations.md")
    assert alert["alert"] in headings()
    assert place == anchor(alert["alert"])


def test_no_section_is_about_an_alert_that_is_gone() -> None:
    assert {heading for heading in headings() if heading.startswith("Bigbird")} == {one["alert"] for one in alerts()}


def test_every_section_of_an_alert_says_what_to_look_at_and_what_to_do() -> None:
    sections = re.split(r"^### ", page().partition("\n## Capacity")[0], flags=re.MULTILINE)[1:]
    assert len(sections) == len(alerts())
    for section in sections:
        links = re.findall(r"\]\(#bigbird\w+\)", section)
        assert "**Look at**" in " ".join(section.split()) or links, section
        assert "**Do" in section or section.count("\n- **") >= 2 or links, section


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_links_to_sections_lead_somewhere(path: Path) -> None:
    for file, place in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", page(path)):
        target = path.parent / file if file else path
        assert place in {anchor(heading) for heading in headings(target)}, (file, place)


def test_the_panels_that_are_named_are_on_their_dashboards() -> None:
    boards = [json.loads(page(path)) for path in DASHBOARDS.glob("*.json")]
    panels = {
        board["title"].removeprefix("BigBird: "): {panel["title"] for panel in board["panels"]} for board in boards
    }
    text = " ".join(page().split())
    named = re.findall(rf"\*({'|'.join(map(re.escape, panels))}): ([^*]+)\*", text)
    assert len(named) > 30
    assert not [(board, panel) for board, panel in named if panel not in panels[board]]


@pytest.mark.parametrize("path", PAGES, ids=lambda path: path.name)
def test_the_settings_and_metrics_that_are_named_exist(path: Path) -> None:
    settings = {environment_name(name) for name in Settings.model_fields}
    assert set(re.findall(r"BIGBIRD_[A-Z_]+\b", page(path))) - {"BIGBIRD_"} <= settings
    metrics = page(ROOT / "docs" / "metrics.md")
    for name in re.findall(r"\bbigbird_[a-z_]+\b", page(path)):
        family = re.sub(r"_(sum|count|bucket)$", "", name)
        # What the adapter makes of a metric has a name of its own.
        assert f"`{family}`" in metrics or family == "bigbird_executor_busy_ratio", name


# The worked example, calculated again from the table that the benchmark wrote.

MIX = {512: 0.6, 1024: 0.3, 4096: 0.1}
DOCUMENTS_PER_SECOND = 5
BUSY = 0.7


def table(contender: str, documents: int = 1) -> dict[int, dict[str, str]]:
    """Return the benchmark's lines of a contender by length, by column, as they are written."""
    header, _, *rows = [
        [cell.strip() for cell in line.strip("|").split("|")]
        for line in page(ROOT / "benchmarks" / "results" / "models.md").splitlines()
        if line.startswith("|")
    ]
    found = [dict(zip(header, row, strict=True)) for row in rows]
    return {
        int(row["tokens"].replace(",", "")): row
        for row in found
        if row["contender"] == contender and row["documents"] == str(documents)
    }


def seconds(contender: str) -> dict[int, float]:
    return {tokens: float(row["median s"]) for tokens, row in table(contender).items()}


def test_the_example_of_capacity_uses_the_times_that_were_measured() -> None:
    fp32, int8 = table("ours fp32"), table("ours int8")
    for tokens, share in MIX.items():
        assert f"| {tokens:,} | {fp32[tokens]['median s']} | {int8[tokens]['median s']} | {share:.0%} |" in page()


def test_the_example_of_capacity_is_calculated_right() -> None:
    mean = {
        precision: sum(share * seconds(f"ours {precision}")[tokens] for tokens, share in MIX.items())
        for precision in ("fp32", "int8")
    }
    work = {precision: DOCUMENTS_PER_SECOND * value for precision, value in mean.items()}
    servers = {precision: math.ceil(value / BUSY) for precision, value in work.items()}
    for row in (
        [f"{mean[precision]:.3f}" for precision in mean],
        [f"{work[precision]:.2f}" for precision in work],
        [str(servers[precision]) for precision in servers],
        [str(servers[precision] + 1) for precision in servers],
    ):
        assert re.search(rf"^\|[^|]+\| {re.escape(row[0])} \| {re.escape(row[1])} \|$", page(), re.MULTILINE), row


def test_the_waits_of_the_example_are_calculated_right() -> None:
    fp32 = seconds("ours fp32")
    mean = sum(share * fp32[tokens] for tokens, share in MIX.items())
    squared = sum(share * fp32[tokens] ** 2 for tokens, share in MIX.items())
    waits = {busy: (busy / mean) * squared / (2 * (1 - busy)) for busy in (0.7, 0.9)}
    text = " ".join(page().split())
    assert (
        f"m2 is {squared:.3f}, and a document waits {waits[0.7]:.1f} s on average at 70%, and {waits[0.9]:.1f} s"
        in text
    )


def test_the_queue_and_the_memory_of_the_example_are_those_that_were_measured() -> None:
    longest, four = table("ours fp32")[4096], table("ours fp32", documents=4)[1024]
    speed = 4096 / float(longest["median s"])
    text = " ".join(page().split())
    assert f"At 4,096 tokens in {longest['median s']} s that is {speed:,.0f} tokens a second" in text
    assert f"in 120 s some {speed * 120 / 1000:,.0f},000" in text
    assert f"{longest['peak MiB']} MiB for one document of 4,096 tokens at a time" in text
    assert f"{four['peak MiB']} MiB for four of 1,024" in text
