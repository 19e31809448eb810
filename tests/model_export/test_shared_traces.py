"""What tests of exports share: graphs that the tracer would make alike."""

from dataclasses import replace
from pathlib import Path

import onnx_ir as ir
import pytest
from onnx import TensorProto, helper

from bigbird_inference.manifest import AttentionKernelName, Precision
from model_export.export import trace
from model_export.export.buckets import GraphPlan
from model_export.export.signature import Signature, signature
from model_export.nn.model import BigBird
from tests.model_export.export.traced_models import SMALL, spread_model
from tests.model_export.shared_traces import fingerprint, traced_once

PLAN = GraphPlan("block_sparse", 128, 224, 16)


def template(
    pattern: str = "transformers",
    precision: Precision = "fp32",
    kernel: AttentionKernelName = "composed",
    **fields: object,
) -> BigBird:
    model = spread_model(replace(SMALL, **fields), pattern)  # type: ignore[arg-type]
    return trace._template(trace.traced_model(model, precision, kernel), whole=False)


def test_models_that_differ_in_their_weights_are_traced_alike() -> None:
    model = spread_model(SMALL, "transformers")
    before = fingerprint(trace._template(model, whole=False), signature("ner", SMALL), PLAN)
    for parameter in model.parameters():
        parameter.data += 1
    assert fingerprint(trace._template(model, whole=False), signature("ner", SMALL), PLAN) == before


@pytest.mark.parametrize(
    "other",
    [
        {"hidden_act": "relu"},
        {"layer_norm_eps": 1e-5},
        {"use_bias": False},
        {"block_size": 32},
        {"num_random_blocks": 2},
        {"num_attention_heads": 4},
        {"rescale_embeddings": True},
        {"pattern": "transformers-train"},
        {"precision": "bf16"},
        {"kernel": "fused"},
    ],
    ids=str,
)
def test_a_model_that_computes_something_else_is_traced_itself(other: dict[str, object]) -> None:
    assert fingerprint(template(**other)) != fingerprint(template())  # type: ignore[arg-type]


def test_a_graph_is_traced_once_for_each_plan_and_signature(tmp_path: Path) -> None:
    traced: list[tuple[Signature, GraphPlan]] = []

    def tracer(model: BigBird, signature: Signature, plan: GraphPlan) -> ir.Model:
        traced.append((signature, plan))
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, ["length"])
        node = helper.make_node(f"Traced{len(traced)}", ["x"], ["y"])
        output = helper.make_tensor_value_info("y", TensorProto.FLOAT, ["length"])
        return ir.from_proto(helper.make_model(helper.make_graph([node], "graph", [value], [output])))

    shorter = replace(PLAN, longest=208)
    asked = [("ner", PLAN), ("ner", PLAN), ("ner", shorter), ("qa", PLAN), ("ner", shorter)]
    graphs = [traced_once(tmp_path, tracer, template(), signature(task, SMALL), plan) for task, plan in asked]
    assert [graph.graph[0].op_type for graph in graphs] == ["Traced1", "Traced1", "Traced2", "Traced3", "Traced2"]
    assert len(traced) == 3
    assert len(list(tmp_path.glob("*.onnx"))) == 3
