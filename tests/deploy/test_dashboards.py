"""The committed dashboards are the generated ones, and what Grafana needs is in them."""

import json
import re
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from tests.deploy.expressions import DASHBOARDS, dashboard, panels
from tests.deploy.running_prometheus import ROOT, SHIPPED, shipped_rules

BOARDS = pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
DATA_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
SEVERITIES = {"critical", "warning", "info"}
SCHEMA = json.loads((Path(__file__).parent / "grafana" / "dashboard.schema.json").read_text("utf-8"))
ALERTS = [rule for rule in shipped_rules() if "alert" in rule]
EACH_ALERT = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert["alert"])


def test_the_committed_dashboards_are_what_the_script_writes(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.write_dashboards", str(tmp_path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    written = {path.name: path.read_text("utf-8") for path in tmp_path.iterdir()}
    assert {path.name: path.read_text("utf-8") for path in DASHBOARDS} == written


def schema_errors(board: dict[str, Any]) -> list[str]:
    return [error.message for error in jsonschema.Draft202012Validator(SCHEMA).iter_errors(board)]


@BOARDS
def test_a_dashboard_follows_the_schema_of_grafana_12(path: Path) -> None:
    assert not schema_errors(dashboard(path))


@pytest.mark.parametrize(
    ("place", "value"),
    [
        pytest.param(["schemaVersion"], 36, id="an older model"),
        pytest.param(["panels", 1, "targets", 0, "expression"], "up", id="a misspelt field of a query"),
        pytest.param(["panels", 1, "fieldConfig", "defaults", "thresholds", "mode"], "relative", id="an unknown mode"),
        pytest.param(["templating", "list", 0, "auto"], False, id="a field of other variables"),
        pytest.param(["id"], 7, id="the number that another Grafana gave it"),
    ],
)
def test_a_wrong_dashboard_breaks_the_schema(place: list[Any], value: Any) -> None:
    board: Any = dashboard(DASHBOARDS[0])
    *parents, last = place
    inner = board
    for part in parents:
        inner = inner[part]
    inner[last] = value
    assert schema_errors(board)


@BOARDS
def test_a_file_is_the_same_for_the_import_dialog_and_for_provisioning(path: Path) -> None:
    """Only the dialog fills in `__inputs`; a variable that chooses a data source works in both."""
    board = dashboard(path)
    assert not [key for key in board if key.startswith("__")]
    source, *others = board["templating"]["list"]
    assert (source["type"], source["query"]) == ("datasource", "prometheus")
    assert set(re.findall(r"\$\{(\w+)", path.read_text("utf-8"))) == {source["name"]}
    assert "datasource" not in {variable["type"] for variable in others}


@BOARDS
def test_panels_have_ids_of_their_own_and_do_not_overlap(path: Path) -> None:
    everything = dashboard(path)["panels"]
    ids = [panel["id"] for panel in everything]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in everything]
    assert all(place["x"] >= 0 and place["w"] > 0 and place["x"] + place["w"] <= 24 for place in places)
    assert not [pair for pair in combinations(places, 2) if overlap(*pair)]


def overlap(one: dict[str, int], other: dict[str, int]) -> bool:
    apart = (
        one["x"] + one["w"] <= other["x"]
        or other["x"] + other["w"] <= one["x"]
        or one["y"] + one["h"] <= other["y"]
        or other["y"] + other["h"] <= one["y"]
    )
    return not apart


@BOARDS
def test_every_panel_says_what_it_shows_and_in_which_unit(path: Path) -> None:
    for panel in panels(dashboard(path)):
        assert panel["title"]
        assert panel["description"].endswith("."), panel["title"]
        unit = panel["fieldConfig"]["defaults"].get("unit") or panel["options"]["yAxis"]["unit"]
        assert unit, panel["title"]
        if panel["type"] != "table":
            assert all(target["legendFormat"] for target in panel["targets"]), panel["title"]


@BOARDS
def test_titles_are_unique_within_a_dashboard(path: Path) -> None:
    titles = [panel["title"] for panel in panels(dashboard(path))]
    assert len(set(titles)) == len(titles)


@BOARDS
def test_everything_is_asked_of_the_chosen_data_source(path: Path) -> None:
    board = dashboard(path)
    assert [variable["name"] for variable in board["templating"]["list"] if variable["type"] == "datasource"] == [
        "datasource"
    ]
    asked = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    for panel in panels(board):
        asked += [panel, *panel["targets"]]
    assert all(one["datasource"] == DATA_SOURCE for one in asked)


@BOARDS
def test_the_variables_of_a_dashboard_are_those_that_its_panels_use(path: Path) -> None:
    board = dashboard(path)
    declared = {variable["name"] for variable in board["templating"]["list"]} - {"datasource"}
    used = {
        name
        for panel in panels(board)
        for target in panel["targets"]
        for name in re.findall(r"\$(\w+)", target["expr"])
    } - {"__rate_interval"}
    assert used == declared
    assert {"model"} <= declared


@BOARDS
def test_a_dashboard_leads_to_the_others_with_its_choices(path: Path) -> None:
    board = dashboard(path)
    (link,) = board["links"]
    assert (link["type"], link["includeVars"], link["keepTime"]) == ("dashboards", True, True)
    assert link["tags"] == ["bigbird-serve"]
    assert set(link["tags"]) <= set(board["tags"])


def test_dashboards_have_uids_and_titles_of_their_own() -> None:
    boards = [dashboard(path) for path in DASHBOARDS]
    for key in ("uid", "title"):
        assert len({board[key] for board in boards}) == len(boards) == 3


def test_what_is_provisioned_is_where_compose_mounts_it() -> None:
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf-8"))["services"]
    provider: dict[str, Any] = yaml.safe_load(
        (ROOT / "deploy/grafana/provisioning/dashboards/bigbird.yml").read_text("utf-8")
    )
    assert (
        f"./deploy/grafana/dashboards:{provider['providers'][0]['options']['path']}:ro" in compose["grafana"]["volumes"]
    )
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    assert source["datasources"][0]["url"] == "http://prometheus:9090"
    assert "prometheus" in compose
    assert "./deploy/prometheus:/etc/prometheus:ro" in compose["prometheus"]["volumes"]


def test_grafana_is_told_how_often_prometheus_scrapes() -> None:
    source = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text("utf-8"))
    config = yaml.safe_load((SHIPPED / "prometheus.yml").read_text("utf-8"))
    assert source["datasources"][0]["jsonData"]["timeInterval"] == config["global"]["scrape_interval"]


@EACH_ALERT
def test_an_alert_says_what_is_wrong_how_bad_it_is_and_where_help_stands(alert: dict[str, Any]) -> None:
    assert alert["labels"]["severity"] in SEVERITIES
    assert set(alert["annotations"]) == {"summary", "description", "runbook_url"}
    assert all(alert["annotations"].values())
    page, anchor = alert["annotations"]["runbook_url"].split("#")
    assert anchor == alert["alert"].lower()
    headings = re.findall(r"^#+ (.*)$", (ROOT / page).read_text("utf-8"), re.MULTILINE)
    assert anchor in [heading.strip("` ").lower() for heading in headings]


@EACH_ALERT
def test_an_alert_is_tested_firing_and_not_firing(alert: dict[str, Any]) -> None:
    files = [yaml.safe_load(path.read_text("utf-8")) for path in (SHIPPED / "tests").glob("*.yml")]
    cases = [
        case["exp_alerts"]
        for file in files
        for test in file["tests"]
        for case in test["alert_rule_test"]
        if case["alertname"] == alert["alert"]
    ]
    assert any(cases)
    assert not all(cases)


def test_every_recording_rule_is_used() -> None:
    everything = "\n".join(
        [*(rule["expr"] for rule in shipped_rules()), *(path.read_text("utf-8") for path in DASHBOARDS)]
    )
    recorded = [rule["record"] for rule in shipped_rules() if "record" in rule]
    assert not [name for name in recorded if not re.search(rf"{name}\b", everything)]


def test_the_latency_objective_is_the_same_everywhere() -> None:
    expressions = "\n".join(rule["expr"] for rule in shipped_rules())
    assert set(re.findall(r'le="([^"]*)"', expressions)) == {"10.0"}
    (panel,) = [
        panel
        for panel in panels(dashboard(ROOT / "deploy/grafana/dashboards/overview.json"))
        if panel["title"] == "99th percentile"
    ]
    assert panel["fieldConfig"]["defaults"]["thresholds"]["steps"][-1]["value"] == 10


def test_rules_over_different_windows_differ_in_nothing_else() -> None:
    families: dict[str, set[str]] = {}
    for rule in shipped_rules():
        if match := re.fullmatch(r"(bigbird:(?:request_errors|slow_requests):ratio)_rate(\w+)", rule.get("record", "")):
            families.setdefault(match[1], set()).add(rule["expr"].replace(f"[{match[2]}]", "[]"))
    assert [len(expressions) for expressions in families.values()] == [1, 1]
