"""The serving benchmark as a picture: what each policy answers in time, and how long it takes."""

from collections.abc import Sequence

from matplotlib.figure import Figure

from benchmarks.report import Row


def serving_figure(rows: Sequence[Row]) -> Figure:
    """Plot goodput and the 95th percentile of the latency over the load, a line for each policy."""
    figure = Figure(figsize=(10, 4))
    goodput, latency = figure.subplots(1, 2)
    for policy in dict.fromkeys(str(row["policy"]) for row in rows):
        own = [row for row in rows if row["policy"] == policy]
        loads = [100 * _number(row["load"]) for row in own]
        goodput.plot(loads, [_number(row["tokens/s in time"]) for row in own], marker="o", label=policy)
        latency.plot(loads, [_number(row["p95 s"]) for row in own], marker="o", label=policy)
    goodput.set(xlabel="load, % of capacity", ylabel="tokens per second answered in time", ylim=(0, None))
    latency.set(xlabel="load, % of capacity", ylabel="p95 latency, seconds", ylim=(0, None))
    goodput.legend()
    figure.tight_layout()
    return figure


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)
