import onnx
import pytest

from tests.model_export.conftest import SmallExport


@pytest.mark.parametrize("number", [0, 1], ids=["full attention", "block-sparse attention"])
def test_a_graph_takes_any_batch_of_its_length_and_gives_one_output(small_export: SmallExport, number: int) -> None:
    bucket = small_export.manifest.buckets[number]
    model = onnx.load(small_export.bundle / bucket.file, load_external_data=False)

    def shapes(values: list[onnx.ValueInfoProto]) -> dict[str, list[int | str]]:
        return {v.name: [d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim] for v in values}

    names = ("input_ids", "attention_mask", "token_type_ids")
    assert shapes(list(model.graph.input)) == {name: ["batch", bucket.length] for name in names}
    assert shapes(list(model.graph.output)) == {"logits": ["batch", bucket.length, 3]}
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 20
    # What the graph needs stands in the default operator set, so every execution provider can run it.
    assert {node.domain for node in model.graph.node} <= {""}
    assert not model.functions
