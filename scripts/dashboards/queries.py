"""PromQL in the few forms that the panels use.

Every rate is over `$__rate_interval`, which Grafana makes from the time range and the scrape interval.
"""

from dataclasses import dataclass

# What the variables of the dashboards select.
INSTANCE = 'instance=~"$instance"'
MODEL = 'model=~"$model"'
ENDPOINT = 'endpoint=~"$endpoint"'


@dataclass(frozen=True, slots=True)
class Query:
    """An expression, and how each of its series is called in the legend."""

    expr: str
    legend: str


def select(metric: str, *matchers: str) -> str:
    """Return a metric's series, of the chosen servers, that match."""
    return f"{metric}{{{','.join((INSTANCE, *matchers))}}}"


def rate(metric: str, *matchers: str, by: str = "") -> str:
    """Return how much a counter grows in a second, summed up for each combination of labels."""
    return total(f"rate({select(metric, *matchers)}[$__rate_interval])", by=by)


def total(vector: str, by: str = "") -> str:
    """Return a sum for each combination of labels."""
    return f"sum by ({by}) ({vector})" if by else f"sum({vector})"


def greatest(vector: str, by: str = "") -> str:
    """Return the greatest value for each combination of labels."""
    return f"max by ({by}) ({vector})" if by else f"max({vector})"


def mean(histogram: str, *matchers: str, by: str = "") -> str:
    """Return the mean of what a histogram has observed."""
    return f"{rate(f'{histogram}_sum', *matchers, by=by)} / {rate(f'{histogram}_count', *matchers, by=by)}"


def quantile(share: float, histogram: str, *matchers: str, by: str = "") -> str:
    """Return the value below which a share of a histogram's observations lies."""
    labels = f"le, {by}" if by else "le"
    return f"histogram_quantile({share}, {rate(f'{histogram}_bucket', *matchers, by=labels)})"


def distribution(histogram: str, *matchers: str) -> str:
    """Return how many observations fell between the edges of a histogram, for a heatmap."""
    return f"sum by (le) (increase({select(f'{histogram}_bucket', *matchers)}[$__rate_interval]))"
