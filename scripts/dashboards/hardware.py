"""Models and hardware: what is loaded, on what does it run, and how full is that?"""

from grafana_foundation_sdk.builders.dashboard import Dashboard, Row

from scripts.dashboards.panels import graph, listing, states
from scripts.dashboards.queries import MODEL, Query, rate, select
from scripts.dashboards.variables import frame, instance, model

BUSY = [(0.7, "orange"), (0.9, "red")]


def hardware() -> Dashboard:
    """Return the dashboard about what is loaded and what it runs on."""
    board = frame(
        "bigbird-hardware",
        "BigBird: models and hardware",
        "Versions, weights, executors, the process and, where there is one, the GPU.",
        instance(),
        model(),
    )
    _loaded(board)
    _executors(board)
    _process(board)
    _gpu(board)
    return board


def _loaded(board: Dashboard) -> None:
    board.with_row(Row("What runs"))
    board.with_panel(
        listing(
            "Models",
            "What is loaded. source_sha256 is the hash of the checkpoint that a bundle was exported from: servers that "
            "differ in it give different answers.",
            select("bigbird_model_info", MODEL),
            ["instance", "model", "task", "pattern", "precision", "source_sha256"],
        )
    )
    board.with_panel(
        listing(
            "Versions",
            "What each server runs. More than one version at a time is a rolling update, or one that was forgotten.",
            select("bigbird_build_info"),
            ["instance", "version"],
            width=12,
        )
    )
    board.with_panel(
        listing(
            "Devices",
            "What each server's executors run on.",
            select("bigbird_device_info"),
            ["instance", "device", "name"],
            width=12,
        )
    )
    board.with_panel(
        graph(
            "Weights",
            "Bytes of weights, once for each device, however many buckets a model has.",
            "bytes",
            Query(f"max by (model) ({select('bigbird_model_weights_bytes', MODEL)})", "{{model}}"),
            stacked=True,
        )
    )
    board.with_panel(
        graph(
            "Time since start",
            "A saw-tooth is a server that restarts again and again.",
            "s",
            Query(f"time() - {select('process_start_time_seconds')}", "{{instance}}"),
        )
    )


def _executors(board: Dashboard) -> None:
    board.with_row(Row("Executors"))
    board.with_panel(
        states(
            "Ready, alive",
            "Green: yes. Red: no. A server that is not ready answers 503; a dead executor needs a restart.",
            Query(select("bigbird_ready"), "{{instance}} ready"),
            Query(select("bigbird_executor_alive"), "{{instance}} {{device}} alive"),
            steps=[(1, "green")],
            base="red",
        )
    )
    board.with_panel(
        states(
            "Stuck, degraded",
            "Green: no. Red: yes. Stuck: a run takes many times what was predicted. Degraded: there is a GPU, and the "
            "CPU serves.",
            Query(select("bigbird_executor_stuck"), "{{instance}} {{device}} stuck"),
            Query(select("bigbird_degraded"), "{{instance}} degraded"),
            steps=[(1, "red")],
            base="green",
        )
    )
    board.with_panel(
        graph(
            "Busy",
            "Share of the time in which each executor runs a batch.",
            "percentunit",
            Query(rate("bigbird_executor_busy_seconds_total", by="instance, device"), "{{instance}} {{device}}"),
            steps=BUSY,
            maximum=1,
            width=24,
        )
    )


def _process(board: Dashboard) -> None:
    board.with_row(Row("Process"))
    board.with_panel(
        graph(
            "Resident memory",
            "Memory of the process: weights on a CPU, the largest batch so far, and everything else. It rises to what "
            "the largest batch needs and stays there.",
            "bytes",
            Query(select("process_resident_memory_bytes"), "{{instance}}"),
        )
    )
    board.with_panel(
        graph(
            "Cores in use",
            "Processor time in a second. On a CPU it should come near the number of cores when the device is busy.",
            "none",
            Query(rate("process_cpu_seconds_total", by="instance"), "{{instance}}"),
        )
    )
    board.with_panel(
        graph(
            "Open files and connections",
            "Share of what the process may open. At 1 new connections are refused.",
            "percentunit",
            Query(f"{select('process_open_fds')} / {select('process_max_fds')}", "{{instance}}"),
            steps=[(0.8, "red")],
            maximum=1,
            width=24,
        )
    )


def _gpu(board: Dashboard) -> None:
    used, available = select("bigbird_gpu_memory_used_bytes"), select("bigbird_gpu_memory_total_bytes")
    board.with_row(Row("GPU (empty without one)"))
    board.with_panel(
        graph(
            "GPU memory",
            "Memory in use on the device, by whatever process, and what there is.",
            "bytes",
            Query(used, "{{instance}} {{device}} used"),
            Query(available, "{{instance}} {{device}} total"),
        )
    )
    board.with_panel(
        graph(
            "GPU memory, share",
            "Near 1, batches find no room and are split.",
            "percentunit",
            Query(f"{used} / {available}", "{{instance}} {{device}}"),
            steps=[(0.9, "orange"), (0.95, "red")],
            maximum=1,
        )
    )
    board.with_panel(
        graph(
            "GPU utilisation",
            "Share of the time in which the device ran a kernel, as the driver reports it. Well below the busy share: "
            "the device waits for the host, as with very small batches.",
            "percentunit",
            Query(select("bigbird_gpu_utilization_ratio"), "{{instance}} {{device}}"),
            maximum=1,
            width=24,
        )
    )
    board.with_panel(
        listing(
            "GPU features",
            "What became of each feature of each model: on, waiting (for the end of a warm-up), not_asked, unfit, "
            "no_gain; failed and wrong are an alert. /v1/models has the reasons.",
            f"{select('bigbird_gpu_feature', MODEL)} == 1",
            ["instance", "model", "device", "feature", "state"],
        )
    )
