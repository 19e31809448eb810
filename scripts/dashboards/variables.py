"""What somebody chooses at the top of a dashboard, and the frame that all dashboards share."""

from grafana_foundation_sdk.builders import dashboard
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.dashboard import (
    DashboardCursorSync,
    DashboardLinkType,
    VariableOption,
    VariableRefresh,
    VariableSort,
)

TAG = "bigbird-serve"

# A variable, not a fixed one: the dashboards can be imported into a Grafana that has other sources.
DATA_SOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")

# Without it some versions of Grafana begin with the first value.
EVERYTHING = VariableOption(selected=True, text=["All"], value=["$__all"])


def data_source() -> dashboard.DatasourceVariable:
    """Return the choice between the Prometheus servers that Grafana knows."""
    return dashboard.DatasourceVariable("datasource").label("Data source").type("prometheus")


def instance() -> dashboard.QueryVariable:
    """Return the choice of servers."""
    return _labels("instance", "Server", "bigbird_build_info", "Servers that are scraped.")


def model() -> dashboard.QueryVariable:
    """Return the choice of models; all of them is also what never reached one."""
    return _labels("model", "Model", "bigbird_model_info", "Loaded models.").all_value(".*")


def endpoint() -> dashboard.QueryVariable:
    """Return the choice of the endpoints that models serve; probes and scrapes are none."""
    return _labels(
        "endpoint", "Endpoint", 'bigbird_request_duration_seconds_count{model!=""}', "Paths that models serve."
    )


def frame(uid: str, title: str, description: str, *choices: dashboard.QueryVariable) -> dashboard.Dashboard:
    """Return a dashboard without panels."""
    frame = (
        dashboard.Dashboard(title)
        .uid(uid)
        .description(description)
        .tags([TAG])
        .time("now-1h", "now")
        .refresh("30s")
        .timezone("browser")
        .editable()
        .tooltip(DashboardCursorSync.CROSSHAIR)
        .with_variable(data_source())
        .link(
            dashboard.DashboardLink("Dashboards")
            .type(DashboardLinkType.DASHBOARDS)
            .tags([TAG])
            .include_vars(True)
            .keep_time(True)
        )
    )
    for choice in choices:
        frame.with_variable(choice)
    return frame


def _labels(name: str, label: str, series: str, description: str) -> dashboard.QueryVariable:
    return (
        dashboard.QueryVariable(name)
        .label(label)
        .description(description)
        .datasource(DATA_SOURCE)
        .query({"query": f"label_values({series}, {name})", "refId": name})
        .refresh(VariableRefresh.ON_TIME_RANGE_CHANGED)
        .sort(VariableSort.ALPHABETICAL_ASC)
        .multi(True)
        .include_all(True)
        .current(EVERYTHING)
    )
