"""int8 graphs for OpenVINO: the documents that they are calibrated on, and a bundle that has them."""

import re
from pathlib import Path

import numpy as np
import pytest

from bigbird_inference.bundle import Bundle, open_bundle
from bigbird_inference.runtime import quiet_openvino
from bigbird_inference.runtime.cpu_runtime_choice import CpuChoice, CpuDevice
from bigbird_inference.runtime.session import Batch, Float32Array, Session
from model_export import preparation
from model_export.export import nncf_quantise
from model_export.export.buckets import GraphPlan
from model_export.export.nncf_quantise import calibration_documents
from model_export.export.tokenizer import SpecialIds
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.cpu_runtimes import exports_with_openvino
from tests.model_export.conftest import SmallExport

FULL, BLOCK_SPARSE = GraphPlan("full", 1, 88, 1), GraphPlan("block_sparse", 96, 4096, 8)
SPECIAL = SpecialIds(1, 2, 3)


@pytest.mark.parametrize(("plan", "longest"), [(FULL, 88), (BLOCK_SPARSE, 2048)])
@pytest.mark.parametrize("tokens", [5, 100_000])
def test_documents_are_cut_out_of_a_text_in_lengths_that_the_graph_takes(
    plan: GraphPlan, longest: int, tokens: int
) -> None:
    documents = calibration_documents(plan, np.arange(100, 100 + tokens), SPECIAL, positions=False, pairs=False)
    lengths = [document.input_ids.shape[1] for document in documents]
    assert len(set(lengths)) > 4
    assert max(lengths) == longest
    for document, length in zip(documents, lengths, strict=True):
        assert plan.shortest <= length <= plan.longest
        assert (length - plan.shortest) % plan.step == 0
        assert document.input_ids.dtype == np.int64
        assert (document.input_ids[0, 0], document.input_ids[0, -1]) == (SPECIAL.cls, SPECIAL.sep)
        assert document.input_ids[0, 1:-1].min() >= 100
        assert document.attention_mask.all()
        assert document.positions is None


def test_a_language_model_is_asked_at_every_position() -> None:
    (first, *_) = calibration_documents(FULL, np.arange(100, 400), SPECIAL, positions=True, pairs=False)
    assert first.positions is not None
    assert first.positions.tolist() == [list(range(first.input_ids.shape[1]))]


def test_a_model_of_pairs_is_shown_both_types_of_tokens() -> None:
    documents = calibration_documents(FULL, np.arange(100, 400), SPECIAL, positions=False, pairs=True)
    seconds = [int(document.token_type_ids.sum()) for document in documents]
    lengths = [document.input_ids.shape[1] for document in documents]
    assert seconds == [length - length // 8 if number % 2 else 0 for number, length in enumerate(lengths)]


def test_no_text_gives_no_documents() -> None:
    assert calibration_documents(FULL, np.arange(0), SPECIAL, positions=False, pairs=False) == []


@pytest.mark.parametrize(
    ("calibration", "there", "whole", "said"),
    [
        pytest.param((), True, 16, "for onnxruntime and OpenVINO; with --calibration FILE", id="no texts"),
        pytest.param(("a", "b"), True, 16, "for onnxruntime and OpenVINO, with the ranges that 2 texts", id="texts"),
        pytest.param((), False, 16, r"for onnxruntime alone; pip install .*\[nncf\]", id="no NNCF"),
        pytest.param((), True, 32, "for onnxruntime alone; .* whole 32 tokens, of which 112 is none", id="odd buckets"),
    ],
)
def test_it_is_said_what_int8_is_made_for(
    calibration: tuple[str, ...],
    there: bool,
    whole: int,
    said: str,
    small_export: SmallExport,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(nncf_quantise, "installed", lambda: there)
    monkeypatch.setattr(preparation, "WHOLE_LENGTHS", whole)
    options = ExportOptions(buckets=(112, 160), precision="int8", calibration=calibration)
    lines = preparation.prepare(small_export.checkpoint, ["int8"], options).lines()
    assert re.search(f"int8 {said}", " ".join(" ".join(lines).split()))


@pytest.mark.integration
@pytest.mark.parametrize("calibration", [(), ("Ada Lovelace lived in London. " * 40,)], ids=["weights", "ranges"])
def test_an_int8_bundle_has_graphs_that_openvino_runs_in_batches(
    calibration: tuple[str, ...], small_export: SmallExport, tmp_path: Path
) -> None:
    options = ExportOptions(buckets=(112, 160), precision="int8", calibration=calibration)
    with exports_with_openvino():
        assert nncf_quantise.installed(), "make install does it"
        export_checkpoint(small_export.checkpoint, tmp_path / "small", options)
    bundle = open_bundle(tmp_path / "small")
    assert [run.precision for run in bundle.manifest.cpu_runs] == ["fp32", "bf16"]
    for run in bundle.manifest.cpu_runs:
        files = ["openvino-full.xml", "openvino-block_sparse.xml"] if calibration else 2 * ["openvino.xml"]
        assert [graph.file for graph in run.graphs] == files
        assert run.calibrated_on == (16 if calibration else 0)
        for graph in run.graphs:
            parts = _in_float32(bundle.path(graph.file))
            assert "head" in parts
            assert "encoder" not in parts
        for bucket in run.buckets:
            assert bucket.parity[0].correlation > 0.97
            assert bucket.parity[0].max_abs_difference > 1e-4, "the products are in 8 bits"
        opened = CpuDevice(1, CpuChoice("openvino", run.precision)).open(bundle)
        assert opened.manifest.max_batch_items is None
        for attention, length, padded in (("full", 100, 112), ("block_sparse", 150, 160)):
            alone = _run(opened.sessions[attention], bundle, [length], padded)
            both = _run(opened.sessions[attention], bundle, [length - 30, length], padded)
            assert np.array_equal(alone[0, :length], both[1, :length])


def _in_float32(graph: Path) -> set[str]:
    """Return the parts of the model, by their parameters' names, that have matrices of weights in float32."""
    model = quiet_openvino.imported().Core().read_model(graph)
    constants = [op for op in model.get_ops() if op.get_type_name() == "Constant"]
    matrices = [op for op in constants if len(op.get_output_shape(0)) == 2 and min(op.get_output_shape(0)) > 1]
    names = [op.get_friendly_name() for op in matrices if op.get_element_type().get_type_name() == "f32"]
    return {name.partition(".")[0] for name in names if ".weight" in name}


def _run(session: Session, bundle: Bundle, lengths: list[int], bucket: int) -> Float32Array:
    ids = np.zeros((len(lengths), bucket), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, length in enumerate(lengths):
        ids[row, :length] = np.random.default_rng(length).integers(5, bundle.manifest.model["vocab_size"], length)
        mask[row, :length] = 1
    return session.run(Batch(ids, mask, np.zeros_like(ids)))["logits"]
