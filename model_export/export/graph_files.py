"""How the files of graphs are called, and what the manifest says of them."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from bigbird_inference.manifest import AttentionKernelName, Graph, HashedFile
from model_export.export.buckets import GraphPlan


def graph_name(plans: Sequence[GraphPlan], prefix: str = "graph") -> str:
    """Return the name, without an ending, of a graph of both kinds of attention or of one."""
    return prefix if len(plans) > 1 else f"{prefix}-{plans[0].attention}"


def described_graphs(file: Path, plans: Sequence[GraphPlan], kernel: AttentionKernelName) -> list[Graph]:
    """Return an entry of the manifest for each kind of attention that a graph has."""
    return [
        Graph(
            **asdict(HashedFile.of(file)),
            attention=plan.attention,
            attention_kernel=kernel,
            shortest=plan.shortest,
            longest=plan.longest,
            step=plan.step,
        )
        for plan in plans
    ]
