"""Overview: is it well, and what is slow, for whom and why?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from scripts.dashboards.panels import graph, listing, number, spread
from scripts.dashboards.queries import (
    ENDPOINT,
    MODEL,
    Query,
    distribution,
    greatest,
    quantile,
    rate,
    select,
    total,
)
from scripts.dashboards.variables import endpoint, frame, instance, model

REQUESTS = "bigbird_requests_total"
DURATION = "bigbird_request_duration_seconds"
STAGE = "bigbird_stage_duration_seconds"
ERRORS = 'status=~"500|503"'

# The objectives of deploy/prometheus/rules, and half of them.
OBJECTIVE_SECONDS = [(5, "orange"), (10, "red")]
ERROR_BUDGET = [(0.001, "orange"), (0.01, "red")]
BUSY = [(0.7, "orange"), (0.9, "red")]
AGE = [(5, "orange"), (10, "red")]


def overview() -> Dashboard:
    """Return the dashboard to open first."""
    board = frame(
        "bigbird-overview",
        "BigBird: overview",
        "The four golden signals: traffic, errors, latency, saturation.",
        instance(),
        model(),
        endpoint(),
    )
    _now(board)
    _traffic(board)
    _latency(board)
    _saturation(board)
    return board


def _now(board: Dashboard) -> None:
    requests = rate(REQUESTS, MODEL, ENDPOINT)
    errors = f"{rate(REQUESTS, MODEL, ENDPOINT, ERRORS)} / {requests}"
    firing = 'count(ALERTS{alertname=~"Bigbird.*",alertstate="firing"}) or vector(0)'
    panels = [
        number(
            "Ready servers",
            "Servers that accept requests: warm, alive and not draining.",
            "none",
            Query(total(select("bigbird_ready")), "ready"),
            [(1, "green")],
            base="red",
        ),
        number(
            "Alerts",
            "Alerts that fire. What to do about each stands in docs/operations.md.",
            "none",
            Query(firing, "firing"),
            [(1, "red")],
        ),
        number(
            "Requests", "Requests to the chosen endpoints that end in a second.", "reqps", Query(requests, "requests")
        ),
        number(
            "Errors",
            "Share of requests that end with 500 or 503. Refusals (429), missed deadlines (504) and clients that leave "
            "(499) are not errors.",
            "percentunit",
            Query(errors, "errors"),
            ERROR_BUDGET,
        ),
        number(
            "99th percentile",
            "99 of 100 requests take less. The objective is 10 seconds.",
            "s",
            Query(quantile(0.99, DURATION, MODEL, ENDPOINT), "p99"),
            OBJECTIVE_SECONDS,
        ),
        number(
            "In flight",
            "Requests that have arrived and have no answer yet.",
            "none",
            Query(total(select("bigbird_requests_in_flight")), "in flight"),
        ),
        number(
            "Busiest device",
            "Share of the time in which the busiest device runs a batch. Near 1, more load only makes the queue "
            "longer.",
            "percentunit",
            Query(greatest(rate("bigbird_executor_busy_seconds_total", by="instance, device")), "busy"),
            BUSY,
        ),
        number(
            "Oldest in queue",
            "How long the window that waits longest has waited. From BIGBIRD_QUEUE_PATIENCE_SECONDS on (5 by default) "
            "nothing younger overtakes it.",
            "s",
            Query(greatest(select("bigbird_queue_oldest_age_seconds", MODEL)), "age"),
            AGE,
        ),
    ]
    board.with_row(Row("Now"))
    for panel in panels:
        board.with_panel(panel)


def _traffic(board: Dashboard) -> None:
    slow = greatest("bigbird:slow_requests:ratio_rate1h{" + f"{MODEL},{ENDPOINT}" + "}")
    board.with_row(Row("Traffic and errors"))
    board.with_panel(
        graph(
            "Requests by endpoint",
            "Who asks for what. A drop to zero is as interesting as a peak.",
            "reqps",
            Query(rate(REQUESTS, MODEL, ENDPOINT, by="endpoint"), "{{endpoint}}"),
            stacked=True,
            width=8,
        )
    )
    board.with_panel(
        graph(
            "Requests by dialect",
            "In whose terms they were asked: native, or as clients of another service do (docs/dialects.md).",
            "reqps",
            Query(rate("bigbird_dialect_requests_total", ENDPOINT, by="dialect"), "{{dialect}}"),
            stacked=True,
            width=8,
        )
    )
    board.with_panel(
        graph(
            "Answers by status",
            "500: a run failed. 503: not ready, or draining. 429: the queue is full. 504: a deadline was too short, or "
            "passed. 499: the client left. Other 4xx: the request was wrong.",
            "reqps",
            Query(rate(REQUESTS, MODEL, ENDPOINT, by="status"), "{{status}}"),
            stacked=True,
            width=8,
        )
    )
    board.with_panel(
        graph(
            "Refused by reason",
            "What was refused at once because of the server's state. queue_full asks for more servers; "
            "deadline_unreachable means that clients allow less time than the queue leaves.",
            "reqps",
            Query(rate("bigbird_refused_requests_total", by="reason"), "{{reason}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Budget burn rate, one hour",
            "How many times faster than allowed errors (0.1% allowed) and slow requests (1% over 10 seconds allowed) "
            "use up their budget. At 1 it lasts a month; at 14.4 somebody is woken. Needs the recording rules.",
            "none",
            Query("max(bigbird:request_errors:ratio_rate1h) / 0.001", "errors"),
            Query(f"{slow} / 0.01", "slowest model"),
            steps=[(1, "orange"), (14.4, "red")],
        )
    )
    board.with_panel(
        listing(
            "Alerts that fire",
            "What to do about each stands in docs/operations.md, under its name.",
            'ALERTS{alertname=~"Bigbird.*",alertstate="firing"}',
            ["severity", "alertname", "instance", "model", "device"],
        )
    )


def _latency(board: Dashboard) -> None:
    board.with_row(Row("Latency: what is slow, for whom, and why"))
    board.with_panel(
        graph(
            "Duration of requests",
            "From a request's arrival to the last byte of its answer.",
            "s",
            *(
                Query(quantile(share, DURATION, MODEL, ENDPOINT), name)
                for share, name in ((0.5, "median"), (0.95, "p95"), (0.99, "p99"))
            ),
            steps=[(10, "red")],
        )
    )
    board.with_panel(
        spread(
            "Spread of durations",
            "Two bands are two kinds of requests: short and long documents, or a queue that comes and goes.",
            "s",
            distribution(DURATION, MODEL, ENDPOINT),
        )
    )
    board.with_panel(
        graph(
            "99th percentile by model",
            "For whom it is slow.",
            "s",
            Query(quantile(0.99, DURATION, MODEL, ENDPOINT, by="endpoint, model"), "{{endpoint}} {{model}}"),
            steps=[(10, "red")],
        )
    )
    board.with_panel(
        graph(
            "95th percentile by stage",
            "Why it is slow. Queue: too little capacity, or too much at once. Inference: long documents, or a device "
            "that is slower than it was. Parse, tokenise, decode, respond: too few cores for what is not the model.",
            "s",
            Query(quantile(0.95, STAGE, MODEL, by="stage"), "{{stage}}"),
        )
    )
    board.with_panel(
        graph(
            "In each stage",
            "How many requests or windows are in a stage at a time, on average (seconds spent there in each second). "
            "The thickest band is where time goes.",
            "none",
            Query(rate(f"{STAGE}_sum", MODEL, by="stage"), "{{stage}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "95th percentile by bucket, queue and inference",
            "Whether long or short documents are slow: the bucket is the padded length.",
            "s",
            Query(quantile(0.95, STAGE, MODEL, 'stage=~"queue|inference"', by="stage, bucket"), "{{stage}} {{bucket}}"),
        )
    )


def _saturation(board: Dashboard) -> None:
    board.with_row(Row("Saturation"))
    board.with_panel(
        graph(
            "Busy devices",
            "Share of the time in which each device runs a batch.",
            "percentunit",
            Query(rate("bigbird_executor_busy_seconds_total", by="instance, device"), "{{instance}} {{device}}"),
            steps=BUSY,
            maximum=1,
        )
    )
    board.with_panel(
        graph(
            "Oldest in queue by model",
            "How long the window that waits longest has waited, by model.",
            "s",
            Query(greatest(select("bigbird_queue_oldest_age_seconds", MODEL), by="model"), "{{model}}"),
            steps=AGE,
        )
    )
    board.with_panel(
        graph(
            "Waiting windows",
            "Windows in the queues, by model. BIGBIRD_MAX_QUEUED_ITEMS bounds them on each server.",
            "none",
            Query(total(select("bigbird_queue_depth", MODEL), by="model"), "{{model}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Dropped windows",
            "Accepted windows that left the queue without running: the client left (cancelled), the deadline passed "
            "(expired) or came out of reach (unreachable).",
            "cps",
            Query(rate("bigbird_dropped_windows_total", MODEL, by="reason"), "{{reason}}"),
            stacked=True,
        )
    )
