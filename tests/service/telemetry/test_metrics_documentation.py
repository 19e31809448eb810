"""docs/metrics.md lists what `/metrics` shows: no more, no less, in the same words."""

import re
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

PAGE = Path(__file__).parents[3] / "docs" / "metrics.md"
# They have samples on a GPU host only, so that their labels cannot be read here.
ON_GPU_HOSTS = {
    "bigbird_gpu_feature": ["model", "device", "feature", "state"],
    "bigbird_gpu_memory_used_bytes": ["device"],
    "bigbird_gpu_memory_total_bytes": ["device"],
    "bigbird_gpu_utilization_ratio": ["device"],
}
UNITS = {"seconds": "seconds", "bytes": "bytes", "ratio": "ratio", "tokens": "tokens"}

Row = tuple[str, str, list[str], str, str]


def documented() -> dict[str, Row]:
    lines = re.findall(r"^\| `(?:bigbird|process)_.*$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    rows = [[cell.strip().strip("`") for cell in line.strip("|").split(" | ")] for line in lines]
    return {
        name: (name, kind, sorted(re.findall(r"\w+", labels)), unit, meaning)
        for name, kind, labels, unit, meaning in rows
    }


def unit_of(name: str) -> str:
    return UNITS.get(name.removesuffix("_total").rsplit("_", 1)[1], "")


@asynchronous
async def test_the_table_of_metrics_is_what_the_server_shows() -> None:
    async with running_app() as (_, client):
        text = (await client.get("/metrics")).text
    printed: dict[str, Row] = {}
    for family in text_string_to_metric_families(text):
        name = f"{family.name}_total" if family.type == "counter" else family.name
        labels = list(family.samples[0].labels) if family.samples else ON_GPU_HOSTS[name]
        names = sorted(label for label in labels if label != "le")
        printed[name] = (name, family.type, names, unit_of(name), family.documentation)
        assert bool(family.samples) == (name not in ON_GPU_HOSTS), name
    assert documented() == printed


@asynchronous
async def test_every_metric_has_the_prefix_of_the_service_or_of_the_process() -> None:
    async with running_app() as (_, client):
        text = (await client.get("/metrics")).text
    names = {line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")}
    assert all(name.startswith(("bigbird_", "process_")) for name in names)
    assert not any(name.endswith("_created") for name in names)
