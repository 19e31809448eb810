"""Bundles in fp16 and bf16: what lies in them, and that a machine without a GPU lets no wrong one through."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnx_ir as ir
import pytest
from onnx import TensorProto

from bigbird_inference.bundle import open_bundle
from bigbird_inference.errors import BundleError
from bigbird_inference.loaded_model import device_openers, open_model
from bigbird_inference.manifest import Precision
from bigbird_inference.runtime.devices import Devices, DeviceUnavailable
from bigbird_inference.runtime.quiet_onnxruntime import onnxruntime
from bigbird_inference.runtime.session import Batch
from model_export import pipeline
from model_export.checkpoints.recognise import read_checkpoint
from model_export.errors import ExportError
from model_export.export import graph_check
from model_export.export.buckets import GraphPlan
from model_export.export.references import TorchSession
from model_export.export.signature import Signature, signature
from model_export.nn.model import BigBird
from model_export.patterns.registry import get_pattern
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from model_export.reverify import verify_bundle
from tests.model_export.exported_models import save_model, vocabulary_size
from tests.model_export.reference_models import make_config, make_document, make_model

pytestmark = pytest.mark.integration  # traces four graphs

KINDS: dict[Precision, int] = {"fp16": TensorProto.FLOAT16, "bf16": TensorProto.BFLOAT16}
BUCKETS = (112, 160)
FILES = ("graph-full.onnx", "graph-block_sparse.onnx", "graph-full-fused.onnx", "graph-block_sparse-fused.onnx")


@pytest.fixture(autouse=True, scope="module")
def no_gpu() -> Any:
    """Keep a GPU out, should the machine have one."""
    on_any_device = graph_check.open_session

    def on_the_cpu(*arguments: Any, device: str, **options: Any) -> Any:
        if device != "cpu":
            raise DeviceUnavailable("no GPU in this test")
        return on_any_device(*arguments, device=device, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(graph_check, "open_session", on_the_cpu)
        yield


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("half")
    config = make_config(vocabulary_size(folder / "vocabulary"), num_labels=4)
    return save_model(make_model("ner", config), folder / "checkpoint")


@pytest.fixture(scope="module", params=["fp16", pytest.param("bf16", marks=pytest.mark.integration)])
def precision(request: pytest.FixtureRequest) -> Precision:
    precision: Precision = request.param
    return precision


def _exported(checkpoint: Path, precision: Precision) -> Path:
    folder = checkpoint.parent / precision
    if not folder.exists():
        export_checkpoint(checkpoint, folder, ExportOptions(precision=precision, buckets=BUCKETS))
    return folder


@pytest.fixture(scope="module")
def bundle(checkpoint: Path, precision: Precision) -> Path:
    return _exported(checkpoint, precision)


def _graphs(bundle: Path) -> list[onnx.ModelProto]:
    return [onnx.load(bundle / file, load_external_data=False) for file in FILES]


def test_the_manifest_says_what_was_compared_and_with_what(bundle: Path, precision: Precision) -> None:
    manifest = open_bundle(bundle).manifest
    assert manifest.precision == precision
    assert tuple(graph.file for graph in manifest.graphs) == FILES
    assert manifest.max_batch_items is None
    for bucket in manifest.buckets:
        assert [parity.attention_kernel for parity in bucket.parity] == ["composed", "fused"]
        for parity in bucket.parity:
            assert parity.checked_with == "torch"
            assert 1e-4 < parity.max_abs_difference <= parity.tolerance
            assert parity.correlation >= {"fp16": 0.9999, "bf16": 0.999}[precision]
            assert parity.agreement is not None
            assert parity.agreement >= {"fp16": 0.99, "bf16": 0.95}[precision]
        assert bucket.peak_memory_bytes is None


def test_inputs_and_outputs_are_those_of_every_precision(bundle: Path) -> None:
    for graph, file in zip(_graphs(bundle), FILES, strict=True):
        kinds = {entry.name: entry.type.tensor_type.elem_type for entry in (*graph.graph.input, *graph.graph.output)}
        inputs = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), TensorProto.INT64)
        assert kinds == {**inputs, "logits": TensorProto.FLOAT}, file


def test_both_kernels_share_their_weights(bundle: Path) -> None:
    """Bits that are in no graph twice: every tensor with a name has one place in the file, whatever graph holds it."""
    places: dict[str, set[str]] = {}
    for graph in _graphs(bundle):
        for tensor in graph.graph.initializer:
            if tensor.external_data:
                places.setdefault(tensor.name, set()).add(str(tensor.external_data))
    assert len(places) == 4 + 1 + 2 * 16 + 2
    assert {len(found) for found in places.values()} == {1}


def test_weights_lie_in_half_precision_and_norms_and_the_head_in_float32(bundle: Path, precision: Precision) -> None:
    for graph in _graphs(bundle):
        weights = [tensor for tensor in graph.graph.initializer if tensor.external_data]
        assert len(weights) == 4 + 1 + 2 * 16 + 2
        for tensor in weights:
            is_float = ".norm." in tensor.name or tensor.name.startswith("head.")
            assert tensor.data_type == (TensorProto.FLOAT if is_float else KINDS[precision]), tensor.name


def test_norms_residual_sums_and_logits_are_computed_in_float32(bundle: Path) -> None:
    for graph in _graphs(bundle):
        inferred = onnx.shape_inference.infer_shapes(graph, strict_mode=False)
        known = {entry.name: entry.type.tensor_type.elem_type for entry in inferred.graph.value_info}
        known |= {tensor.name: tensor.data_type for tensor in graph.graph.initializer}
        norms = [node for node in graph.graph.node if node.op_type == "LayerNormalization"]
        assert len(norms) == 5
        assert {known[name] for node in norms for name in node.input} == {TensorProto.FLOAT}
        producer = {node.output[0]: node for node in graph.graph.node}
        sums = [producer[node.input[0]] for node in norms[1:]]
        assert {node.op_type for node in sums} == {"Add"}
        assert {known[name] for node in sums for name in node.input} == {TensorProto.FLOAT}
        assert {known.get(name, TensorProto.FLOAT) for name in producer["logits"].input} == {TensorProto.FLOAT}


def test_graphs_are_whole_by_onnxs_own_checks(bundle: Path, precision: Precision) -> None:
    largest = {"fp16": 65504.0, "bf16": 3.4e38}[precision]
    for file, graph in zip(FILES, _graphs(bundle), strict=True):
        onnx.checker.check_model(bundle / file)
        masks = [
            attribute.f
            for node in graph.graph.node
            for attribute in node.attribute
            if attribute.name == "mask_filter_value"
        ]
        assert bool(masks) == ("fused" in file)
        assert all(-largest <= value < -1e4 for value in masks)


def test_an_fp16_graph_is_loaded_by_onnxruntime_and_gives_what_the_figures_say(checkpoint: Path) -> None:
    """The CPU computes it in float32, between casts."""
    folder = _exported(checkpoint, "fp16")
    model = read_checkpoint(checkpoint).load(get_pattern("transformers")).model
    torch_session = TorchSession(model, signature("ner", model.config))
    for length, bucket in ((100, 112), (150, 160)):
        document = make_document(length, vocab_size=model.config.vocab_size)
        ids, mask = np.zeros((2, 1, bucket), dtype=np.int64)
        ids[0, :length], mask[0, :length] = document.input_ids, 1
        batch = Batch(ids, mask, np.zeros_like(ids))
        expected = torch_session.run(batch)["logits"][0, :length]
        for file in FILES[::2] if bucket == 112 else FILES[1::2]:
            session = onnxruntime.InferenceSession(folder / file, providers=["CPUExecutionProvider"])
            feeds = {entry.name: getattr(batch, entry.name) for entry in session.get_inputs()}
            difference = np.abs(session.run(None, feeds)[0][0, :length] - expected).max()
            assert 0 < difference <= 0.02 * expected.std(), file


def test_a_finished_bundle_is_checked_again(bundle: Path, checkpoint: Path) -> None:
    recorded = open_bundle(bundle).manifest.buckets
    for bucket, before in zip(verify_bundle(bundle, checkpoint), recorded, strict=True):
        assert [parity.attention_kernel for parity in bucket.parity] == ["composed", "fused"]
        for parity, known in zip(bucket.parity, before.parity, strict=True):
            assert parity.checked_with == "torch"
            assert parity.max_abs_difference <= parity.tolerance == known.tolerance


@pytest.fixture(scope="module")
def fused_fp16_graph(checkpoint: Path) -> Callable[[BigBird, Signature, Sequence[GraphPlan]], ir.Model]:
    """In place of `trace`: the finished graph again, whose weights are read into it."""
    folder = _exported(checkpoint, "fp16")
    return lambda model, signature, plans: ir.from_proto(onnx.load(folder / f"graph-{plans[0].attention}-fused.onnx"))


def _exact_gelu(graph: ir.Model) -> None:
    next(node for node in graph.graph if node.op_type == "Gelu").attributes.clear()


def _no_key_lengths(graph: ir.Model) -> None:
    for node in graph.graph:
        if node.op_type == "MultiHeadAttention":
            node.replace_input_with(4, None)


def _other_weight(graph: ir.Model) -> None:
    name = next(name for name in graph.graph.initializers if name.endswith("norm.bias"))
    value = graph.graph.initializers[name]
    assert value.const_value is not None
    value.const_value = ir.tensor(value.const_value.numpy() + np.float32(0.01), name=name)


@pytest.mark.parametrize(
    "spoil",
    [
        pytest.param(_exact_gelu, id="another activation"),
        pytest.param(_no_key_lengths, id="padding that counts"),
        pytest.param(_other_weight, id="another weight"),
    ],
)
def test_a_wrong_graph_is_not_let_through_although_torch_is_right(
    spoil: Callable[[ir.Model], None],
    checkpoint: Path,
    fused_fp16_graph: Callable[[BigBird, Signature, Sequence[GraphPlan]], ir.Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The torch model stands in for the graph's precision, never for the graph itself."""

    def spoilt(model: BigBird, signature: Signature, plan: GraphPlan) -> ir.Model:
        graph = fused_fp16_graph(model, signature, plan)
        spoil(graph)
        return graph

    monkeypatch.setattr(pipeline, "trace", spoilt)
    options = ExportOptions(precision="fp16", buckets=(112,), attention="fused")
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch"):
        export_checkpoint(checkpoint, tmp_path / "bundle", options)
    assert not list(tmp_path.iterdir())


def test_half_precision_that_is_not_enough_is_not_let_through(
    checkpoint: Path,
    fused_fp16_graph: Callable[[BigBird, Signature, Sequence[GraphPlan]], ir.Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pipeline, "trace", fused_fp16_graph)
    options = ExportOptions(precision="fp16", buckets=(112,), tolerance=1e-4, attention="fused")
    with pytest.raises(ExportError, match=r"^bucket 112: outputs differ from torch"):
        export_checkpoint(checkpoint, tmp_path / "bundle", options)
    assert not list(tmp_path.iterdir())


def test_on_a_gpu_the_graph_itself_is_compared(
    checkpoint: Path,
    fused_fp16_graph: Callable[[BigBird, Signature, Sequence[GraphPlan]], ir.Model],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A fake GPU: the fp16 graph on the CPU, where onnxruntime computes it in float32."""
    on_the_cpu = graph_check.open_session
    asked: list[str] = []

    def on_a_gpu(*arguments: Any, device: str, **options: Any) -> Any:
        asked.append(device)
        return on_the_cpu(*arguments, device="cpu", **options)

    monkeypatch.setattr(graph_check, "open_session", on_a_gpu)
    monkeypatch.setattr(pipeline, "trace", fused_fp16_graph)
    options = ExportOptions(precision="fp16", buckets=(112,), attention="fused")
    manifest = export_checkpoint(checkpoint, tmp_path / "bundle", options)
    assert asked == ["cuda"], "to compare, and for the known answer"
    assert [parity.checked_with for parity in manifest.buckets[0].parity] == ["onnxruntime"]


@pytest.mark.integration  # in fp32 `make test` does
@pytest.mark.parametrize("task", ["embed", "fill-mask", "generate"])
def test_every_kind_of_head_can_be_exported(task: str, tmp_path: Path) -> None:
    config = make_config(vocabulary_size(tmp_path / "vocabulary"), is_decoder=task == "generate")
    checkpoint = save_model(make_model(task, config, head_gain=3.0), tmp_path / "checkpoint")
    options = ExportOptions(
        task=task, precision="fp16", buckets=(256,) if task == "generate" else (112,), attention="composed"
    )
    manifest = export_checkpoint(checkpoint, tmp_path / "bundle", options)
    assert {tensor.dtype for tensor in manifest.outputs} == {"float32"}
    assert min(parity.correlation for bucket in manifest.buckets for parity in bucket.parity) >= 0.9999


def test_a_cpu_that_serves_one_says_that_it_is_for_gpus(
    bundle: Path, precision: Precision, caplog: pytest.LogCaptureFixture
) -> None:
    told = f"model {precision} is in {precision}, which is for GPUs, and this is a CPU; serve it on a GPU, or export it"
    opened = open_bundle(bundle)
    if precision == "bf16":
        with pytest.raises(BundleError, match=f"cannot load it: .*{told}"):
            open_model(opened, Devices(), device_openers(Devices(), threads=1))
        return
    model = open_model(opened, Devices(), device_openers(Devices(), threads=1))
    assert model.misplaced is not None and model.misplaced.startswith(told)
    assert [record.message for record in caplog.records if record.levelname == "WARNING"] == [model.misplaced]
