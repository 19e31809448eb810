"""The kinds of panels that the dashboards are made of: one place for their looks, units and legends.

Every panel has a title that says what it plots and a description that says what to make of it.
"""

from collections.abc import Sequence

from grafana_foundation_sdk.builders import (
    common,
    dashboard,
    heatmap,
    prometheus,
    stat,
    statetimeline,
    table,
    timeseries,
)
from grafana_foundation_sdk.models import common as looks
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    FieldColorModeId,
    Threshold,
    ThresholdsMode,
)
from grafana_foundation_sdk.models.heatmap import HeatmapColorMode
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from scripts.dashboards.queries import Query
from scripts.dashboards.variables import DATA_SOURCE

Steps = Sequence[tuple[float, str]]
"""From which value on a panel takes which colour; below the first it is green."""

HEIGHT = 8


def number(title: str, description: str, unit: str, query: Query, steps: Steps = (), base: str = "green") -> stat.Panel:
    """Return the latest value as a number that changes its colour, with a line of its past."""
    return (
        stat.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .unit(unit)
        .span(3)
        .height(4)
        .color_mode(looks.BigValueColorMode.VALUE)
        .graph_mode(looks.BigValueGraphMode.AREA)
        .reduce_options(common.ReduceDataOptions().calcs(["lastNotNull"]))
        .thresholds(_thresholds(steps, base))
        .with_target(_target(query, 0))
    )


def graph(
    title: str,
    description: str,
    unit: str,
    *queries: Query,
    steps: Steps = (),
    stacked: bool = False,
    maximum: float | None = None,
    width: int = 12,
) -> timeseries.Panel:
    """Return lines over time; thresholds are dashed lines."""
    panel = (
        timeseries.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .unit(unit)
        .min(0)
        .span(width)
        .height(HEIGHT)
        .line_width(1)
        .fill_opacity(30 if stacked else 5)
        .show_points(looks.VisibilityMode.NEVER)
        .legend(
            common.VizLegendOptions()
            .show_legend(True)
            .display_mode(looks.LegendDisplayMode.TABLE)
            .placement(looks.LegendPlacement.BOTTOM)
            .calcs(["mean", "max", "lastNotNull"])
        )
        .tooltip(common.VizTooltipOptions().mode(looks.TooltipDisplayMode.MULTI).sort(looks.SortOrder.DESCENDING))
        .thresholds(_thresholds(steps))
    )
    if steps:
        panel.thresholds_style(common.GraphThresholdsStyleConfig().mode(looks.GraphThresholdsStyleMode.DASHED))
    if stacked:
        panel.stacking(common.StackingConfig().mode(looks.StackingMode.NORMAL))
    if maximum is not None:
        panel.max(maximum)
    for index, query in enumerate(queries):
        panel.with_target(_target(query, index))
    return panel


def spread(title: str, description: str, unit: str, expr: str) -> heatmap.Panel:
    """Return a histogram over time, the darker the more."""
    return (
        heatmap.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .span(12)
        .height(HEIGHT)
        .calculate(False)
        .color(_heatmap_colours())
        .y_axis(_heatmap_axis(unit))
        .with_target(_target(Query(expr, "{{le}}"), 0).format(PromQueryFormat.HEATMAP))
    )


def states(title: str, description: str, *queries: Query, steps: Steps, base: str) -> statetimeline.Panel:
    """Return coloured bars over time, for what is either so or not."""
    panel = (
        statetimeline.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .unit("none")
        .span(12)
        .height(HEIGHT)
        .show_value(looks.VisibilityMode.NEVER)
        .thresholds(_thresholds(steps, base))
        .color_scheme(dashboard.FieldColor().mode(FieldColorModeId.THRESHOLDS))
    )
    for index, query in enumerate(queries):
        panel.with_target(_target(query, index))
    return panel


def listing(title: str, description: str, expr: str, columns: Sequence[str], width: int = 24) -> table.Panel:
    """Return the labels of the series that there are now, a row for each."""
    kept = DataTransformerConfig(id_val="filterFieldsByName", options={"include": {"names": list(columns)}})
    ordered = DataTransformerConfig(
        id_val="organize", options={"indexByName": {name: place for place, name in enumerate(columns)}}
    )
    return (
        table.Panel()
        .title(title)
        .description(description)
        .datasource(DATA_SOURCE)
        .unit("none")
        .span(width)
        .height(6)
        .no_value("none")
        .cell_options(looks.TableAutoCellOptions())
        .transformations([kept, ordered])
        .with_target(_target(Query(expr, ""), 0).format(PromQueryFormat.TABLE).instant())
    )


def _target(query: Query, index: int) -> prometheus.Dataquery:
    return (
        prometheus.Dataquery()
        .expr(query.expr)
        .legend_format(query.legend)
        .ref_id("ABCDEFGH"[index])
        .datasource(DATA_SOURCE)
        .range()
    )


def _thresholds(steps: Steps, base: str = "green") -> dashboard.ThresholdsConfig:
    first = Threshold(value=None, color=base)
    return (
        dashboard.ThresholdsConfig()
        .mode(ThresholdsMode.ABSOLUTE)
        .steps([first, *(Threshold(value=value, color=color) for value, color in steps)])
    )


def _heatmap_colours() -> heatmap.HeatmapColorOptions:
    return heatmap.HeatmapColorOptions().mode(HeatmapColorMode.SCHEME).scheme("Blues").exponent(0.5).steps(64)


def _heatmap_axis(unit: str) -> heatmap.YAxisConfig:
    return heatmap.YAxisConfig().unit(unit)
