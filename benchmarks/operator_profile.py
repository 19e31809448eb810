"""Where the time of one of our graphs goes, operator by operator, from onnxruntime's own profile.

The graph is loaded as the service loads it, so that what is listed is what is served: after onnxruntime fused and
laid out its nodes. The first runs of a shape fault in its memory and do not count.
"""

import json
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from benchmarks.report import Row
from bigbird_inference.runtime.cores import available_cores
from bigbird_inference.runtime.onnx_session import session_options
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime

WARM_RUNS = 2


@dataclass(frozen=True, slots=True)
class NodeTime:
    """One node of the optimised graph.

    Attributes:
        name: Of the node; fused nodes carry what they were made of.
        operator: Its type.
        shapes: Of its inputs and outputs.
        seconds: Median over the runs.
    """

    name: str
    operator: str
    shapes: str
    seconds: float


def profile_graph(graph: Path, length: int, runs: int = 5) -> list[NodeTime]:
    """Run one document that fills the bucket and return the time of every node, the slowest first."""
    options = session_options(available_cores(), cpu_only=True)
    options.enable_profiling = True
    generator = np.random.default_rng(0)
    feeds = {
        "input_ids": generator.integers(200, 6000, (1, length)),
        "attention_mask": np.ones((1, length), np.int64),
        "token_type_ids": np.zeros((1, length), np.int64),
    }
    with tempfile.TemporaryDirectory() as folder:
        options.profile_file_prefix = str(Path(folder) / "profile")
        session = onnxruntime.InferenceSession(str(graph), options, providers=["CPUExecutionProvider"])
        for _ in range(WARM_RUNS + runs):
            session.run(None, feeds)
        events = json.loads(Path(session.end_profiling()).read_text(encoding="utf-8"))
    return node_times(events)


def node_times(events: Iterable[Mapping[str, Any]]) -> list[NodeTime]:
    """Read a profile of `WARM_RUNS` and further runs; times in it are microseconds."""
    seconds: dict[str, list[float]] = defaultdict(list)
    arguments: dict[str, Mapping[str, Any]] = {}
    for event in events:
        name = str(event.get("name", ""))
        if event.get("cat") == "Node" and name.endswith("_kernel_time"):
            node = name.removesuffix("_kernel_time")
            seconds[node].append(event["dur"] / 1e6)
            arguments[node] = event["args"]
    times = [
        NodeTime(node, arguments[node]["op_name"], _shapes(arguments[node]), median(measured[WARM_RUNS:]))
        for node, measured in seconds.items()
    ]
    return sorted(times, key=lambda node: -node.seconds)


def _shapes(arguments: Mapping[str, Any]) -> str:
    def described(key: str) -> str:
        tensors = arguments.get(key, [])
        return " ".join("x".join(map(str, shape)) or "1" for tensor in tensors for shape in tensor.values())

    return f"{described('input_type_shape')} -> {described('output_type_shape')}"


def operator_rows(nodes: Iterable[NodeTime]) -> list[Row]:
    """Return one row for each type of operator, the slowest first."""
    nodes = list(nodes)
    total = sum(node.seconds for node in nodes)
    by_operator: dict[str, list[float]] = defaultdict(list)
    for node in nodes:
        by_operator[node.operator].append(node.seconds)
    return [
        {"operator": operator, "nodes": len(times), "ms": 1e3 * sum(times), "share": f"{sum(times) / total:.1%}"}
        for operator, times in sorted(by_operator.items(), key=lambda entry: -sum(entry[1]))
    ]


def node_rows(nodes: Iterable[NodeTime]) -> list[Row]:
    """Return one row for each group of nodes of the same type and shapes, the slowest first."""
    nodes = list(nodes)
    total = sum(node.seconds for node in nodes)
    groups: dict[tuple[str, str], list[NodeTime]] = defaultdict(list)
    for node in nodes:
        groups[node.operator, node.shapes].append(node)
    ordered = sorted(groups.items(), key=lambda entry: -sum(node.seconds for node in entry[1]))
    return [
        {
            "operator": operator,
            "shapes": shapes,
            "nodes": len(group),
            "ms each": 1e3 * median(node.seconds for node in group),
            "share": f"{sum(node.seconds for node in group) / total:.1%}",
            "for example": group[0].name,
        }
        for (operator, shapes), group in ordered
    ]
