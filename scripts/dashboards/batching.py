"""Batching: which lengths, how much padding, which batches, how long in the queue, how well predicted?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from scripts.dashboards.panels import graph, spread
from scripts.dashboards.queries import MODEL, Query, distribution, greatest, mean, quantile, rate, select, total
from scripts.dashboards.variables import frame, instance, model

TOKENS = "bigbird_tokens_total"
COMPUTED = "bigbird_computed_tokens_total"
BATCH_SIZE = "bigbird_batch_size"
BATCH_SECONDS = "bigbird_batch_duration_seconds"
COST_RATIO = "bigbird_run_cost_ratio"

PADDING = [(0.25, "orange"), (0.4, "red")]


def batching() -> Dashboard:
    """Return the dashboard that explains the scheduler's choices; docs/batching.md has its rules."""
    board = frame(
        "bigbird-batching",
        "BigBird: batching",
        "Buckets, padding, batch sizes, queues and the cost model. docs/batching.md explains how batches are chosen.",
        instance(),
        model(),
    )
    _load(board)
    _padding(board)
    _batches(board)
    _queue(board)
    _cost(board)
    return board


def _load(board: Dashboard) -> None:
    board.with_row(Row("Load by bucket"))
    board.with_panel(
        graph(
            "Windows run",
            "Windows that ran in a second, by the padded length of their run. A document in a longer bucket than its "
            "own filled a spare place.",
            "cps",
            Query(rate(f"{BATCH_SIZE}_sum", MODEL, by="bucket"), "{{bucket}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Device time",
            "Seconds that batches of each bucket took in a second: who uses the device.",
            "percentunit",
            Query(rate(f"{BATCH_SECONDS}_sum", MODEL, by="bucket"), "{{bucket}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Windows per document",
            "More than 1: documents longer than the model are read in windows, and each costs a run. Truncated tokens, "
            "which should be 0, are in the panel beside this one.",
            "none",
            Query(mean("bigbird_windows_per_document", MODEL, by="model"), "mean, {{model}}"),
            Query(quantile(0.99, "bigbird_windows_per_document", MODEL, by="model"), "p99, {{model}}"),
        )
    )
    board.with_panel(
        graph(
            "Truncated tokens",
            "Tokens of a second's documents that no window held.",
            "cps",
            Query(rate("bigbird_truncated_tokens_total", MODEL, by="model"), "{{model}}"),
        )
    )


def _padding(board: Dashboard) -> None:
    padding = f"{rate(COMPUTED, MODEL, by='bucket')} - {rate(TOKENS, MODEL, by='bucket')}"
    board.with_row(Row("Padding"))
    board.with_panel(
        graph(
            "Share of padding by bucket",
            "Share of the computed tokens that are padding. Above a quarter, export more buckets around the lengths "
            "that you have: weights are shared, so a bucket is cheap.",
            "percentunit",
            Query(f"1 - {rate(TOKENS, MODEL, by='bucket')} / {rate(COMPUTED, MODEL, by='bucket')}", "{{bucket}}"),
            steps=PADDING,
            maximum=1,
        )
    )
    board.with_panel(
        graph(
            "Share of padding by model",
            "Which model's buckets fit its documents badly.",
            "percentunit",
            Query(f"1 - {rate(TOKENS, MODEL, by='model')} / {rate(COMPUTED, MODEL, by='model')}", "{{model}}"),
            steps=PADDING,
            maximum=1,
        )
    )
    board.with_panel(
        graph(
            "Padding by bucket",
            "Where the padding is: a large share of a small bucket costs little.",
            "cps",
            Query(padding, "{{bucket}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Tokens",
            "Real tokens that were run, and what was computed for them.",
            "cps",
            Query(rate(TOKENS, MODEL), "real"),
            Query(rate(COMPUTED, MODEL), "computed"),
        )
    )


def _batches(board: Dashboard) -> None:
    board.with_row(Row("Batches"))
    board.with_panel(
        graph(
            "Mean batch size",
            "Windows in a batch. Mostly 1 is right on a CPU, where a batch costs what its documents cost; on a GPU it "
            "grows with the load.",
            "none",
            Query(mean(BATCH_SIZE, MODEL, by="bucket"), "{{bucket}}"),
        )
    )
    board.with_panel(
        spread("Spread of batch sizes", "How many batches of which size ran.", "none", distribution(BATCH_SIZE, MODEL))
    )
    board.with_panel(
        graph(
            "Duration of a batch",
            "95th percentile of collating and running a batch.",
            "s",
            Query(quantile(0.95, BATCH_SECONDS, MODEL, by="bucket"), "{{bucket}}"),
        )
    )
    board.with_panel(
        graph(
            "Failed, split and ended runs",
            "Failed: one bad document, or no room in memory. Split: a failed run was tried again in halves. Ended: all "
            "its clients had left.",
            "cps",
            Query(rate("bigbird_batch_failures_total", MODEL), "failed"),
            Query(rate("bigbird_batch_splits_total", MODEL, by="reason"), "split: {{reason}}"),
            Query(rate("bigbird_terminated_runs_total", MODEL), "ended"),
        )
    )


def _queue(board: Dashboard) -> None:
    board.with_row(Row("Queue"))
    board.with_panel(
        graph(
            "Waiting windows by bucket",
            "Windows that wait, by the bucket that they belong to.",
            "none",
            Query(total(select("bigbird_queue_depth", MODEL), by="bucket"), "{{bucket}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Oldest by bucket",
            "How long the oldest window of each bucket has waited. Buckets grow old together when the device is too "
            "slow; one alone is being overtaken, until its patience ends.",
            "s",
            Query(greatest(select("bigbird_queue_oldest_age_seconds", MODEL), by="bucket"), "{{bucket}}"),
            steps=[(5, "orange"), (10, "red")],
        )
    )
    board.with_panel(
        graph(
            "Wait of windows",
            "95th percentile of the time between acceptance and run, by bucket.",
            "s",
            Query(quantile(0.95, "bigbird_stage_duration_seconds", MODEL, 'stage="queue"', by="bucket"), "{{bucket}}"),
        )
    )
    board.with_panel(
        graph(
            "Waiting tokens",
            "Real tokens in all queues, on each server. BIGBIRD_MAX_QUEUED_TOKENS bounds them.",
            "none",
            Query(select("bigbird_queued_tokens"), "{{instance}}"),
        )
    )
    board.with_panel(
        graph(
            "Admitted and refused",
            "Requests whose windows the scheduler took, and requests refused because of the server's state.",
            "reqps",
            Query(rate("bigbird_admitted_requests_total", MODEL), "admitted"),
            Query(rate("bigbird_refused_requests_total", by="reason"), "{{reason}}"),
        )
    )
    board.with_panel(
        graph(
            "Dropped windows by bucket",
            "Accepted windows that left the queue without running, for all reasons.",
            "cps",
            Query(rate("bigbird_dropped_windows_total", MODEL, by="bucket"), "{{bucket}}"),
            stacked=True,
        )
    )


def _cost(board: Dashboard) -> None:
    predicted = rate("bigbird_predicted_seconds_total", MODEL, by="bucket")
    board.with_row(Row("Cost prediction"))
    board.with_panel(
        graph(
            "Actual over predicted time",
            "Weighted by time; 1 is right. Lastingly above 1: something else uses the machine, or it runs hot.",
            "none",
            Query(f"{rate(f'{BATCH_SECONDS}_sum', MODEL, by='bucket')} / {predicted}", "{{bucket}}"),
            steps=[(1, "blue"), (2, "red")],
        )
    )
    board.with_panel(
        graph(
            "Spread of actual over predicted time",
            "Each batch counts once. The further apart the lines, the less deadlines and choices can rest on "
            "predictions.",
            "none",
            *(
                Query(quantile(share, COST_RATIO, MODEL), name)
                for share, name in ((0.1, "p10"), (0.5, "median"), (0.9, "p90"))
            ),
            steps=[(1, "blue")],
        )
    )
