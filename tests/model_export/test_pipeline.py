import json
import re
import resource
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import onnx
import onnx_ir as ir
import pytest
from safetensors.torch import load_file, save_file

from bigbird_inference.bundle import open_bundle, read_manifest
from bigbird_inference.manifest import Manifest, Precision, manifest_schema
from bigbird_inference.runtime.session import Batch, Outputs, RunControl
from bigbird_inference.tokenization.tokenizer import Tokenizer
from model_export import pipeline
from model_export.errors import CheckpointError, ConfigError, ExportError
from model_export.export import graph_check
from model_export.export.buckets import BucketStep, GraphPlan
from model_export.export.references import TorchSession
from model_export.export.signature import Signature
from model_export.export.trace import trace
from model_export.nn.model import BigBird
from model_export.pipeline import export_checkpoint, export_precisions
from model_export.preparation import ExportOptions
from model_export.reverify import verify_bundle
from tests.model_export.conftest import SmallExport
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import make_config, make_model

ONE_BUCKET = ExportOptions(buckets=(112,))


@pytest.fixture(scope="module")
def traced(small_export: SmallExport, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The weights and the graph of full attention, so that the tests below need not trace it again and again."""
    path = tmp_path_factory.mktemp("traced") / "graph.onnx"

    def keep(model: BigBird, signature: Signature, plans: Sequence[GraphPlan]) -> ir.Model:
        graph = trace(model, signature, plans)
        ir.save(graph, path)
        return graph

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pipeline, "trace", keep)
        export_checkpoint(small_export.checkpoint, path.parent / "bundle", ONE_BUCKET)
    return path


@pytest.fixture
def without_tracing(traced: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pipeline, "trace", lambda model, signature, plans: ir.from_proto(onnx.load(traced)))


def _contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_bundle_holds_graphs_weights_tokenizer_and_manifest_and_nothing_else(small_export: SmallExport) -> None:
    assert sorted(path.name for path in small_export.bundle.iterdir()) == [
        "graph.onnx",
        "manifest.json",
        "tokenizer.model",
        "weights.bin",
    ]
    assert open_bundle(small_export.bundle).manifest == small_export.manifest


def test_a_finished_bundle_can_be_read_by_others_and_leaves_no_hidden_folder(small_export: SmallExport) -> None:
    assert small_export.bundle.stat().st_mode & 0o755 == 0o755
    assert {path.name for path in small_export.bundle.parent.iterdir()} == {"checkpoint", "small"}


def test_the_manifest_says_what_was_exported(small_export: SmallExport) -> None:
    manifest = small_export.manifest
    assert (manifest.task, manifest.labels, manifest.problem_type) == ("ner", ["O", "B-PER", "I-PER"], None)
    assert (manifest.pattern, manifest.precision, manifest.pair_types) == ("transformers", "fp32", "segments")
    assert (manifest.block_size, manifest.max_length) == (16, 160)
    assert [(bucket.length, bucket.attention) for bucket in manifest.buckets] == [(112, "full"), (160, "block_sparse")]
    # What the graphs take is more than what is served: 256 positions, blocks of 16, and (5 + 2 * 1) of them in full.
    ranges = {graph.attention: (graph.shortest, graph.longest, graph.step) for graph in manifest.graphs}
    assert ranges == {"full": (1, 112, 1), "block_sparse": (128, 256, 16)}
    assert manifest.kernels == {"composed"}
    assert manifest.source.name == "checkpoint"
    assert (manifest.tokenizer.cls_id, manifest.tokenizer.sep_id, manifest.tokenizer.mask_id) == (1, 2, 3)
    assert manifest.tokenizer.pad_id == 0
    assert manifest.model["num_random_blocks"] == 1
    assert {"torch", "onnx", "onnxruntime", "numpy", "opset"} <= set(manifest.versions)


def test_the_manifest_holds_the_measured_differences(small_export: SmallExport) -> None:
    for bucket in small_export.manifest.buckets:
        (parity,) = bucket.parity
        assert parity.max_abs_difference <= parity.tolerance
        assert parity.logits_std >= 0.5
        assert parity.documents
        assert bucket.peak_memory_bytes is None or bucket.peak_memory_bytes >= 0


def test_the_manifest_fits_the_schema_that_is_shipped(small_export: SmallExport) -> None:
    schema = json.loads((resources.files("bigbird_inference") / "manifest.schema.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    values = json.loads((small_export.bundle / "manifest.json").read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator(schema).validate(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values | {"buckets": []}, schema)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(values | {"extra": 1}, schema)


def test_the_shipped_schema_is_the_one_of_the_manifest_classes() -> None:
    shipped = json.loads((resources.files("bigbird_inference") / "manifest.schema.json").read_text(encoding="utf-8"))
    assert shipped == manifest_schema()


def test_an_export_tells_its_graphs_its_buckets_and_the_weights_that_it_does_not_use(small_export: SmallExport) -> None:
    lines = small_export.messages.splitlines()
    start = lines.index("small: tracing full attention and block-sparse attention")
    assert lines[0] == "checkpoint"
    assert "  labels      3: O, B-PER, I-PER" in lines[:start]
    assert "  not used    bert.pooler.bias, bert.pooler.weight" in lines[:start]
    assert "  buckets     2: 112, 160 tokens, with full attention up to 112" in lines[:start]
    assert lines[start:] == [
        "small: tracing full attention and block-sparse attention",
        # Of 1, 47, 49 and 112 tokens, and of 113, 127, 129 and 160.
        *(f"small: torch's answers: {done}/8" for done in range(1, 9)),
        "[1/1] small: bucket 112 (full attention)",
        "[1/1] small: bucket 160 (block-sparse attention)",
    ]


def test_the_manifest_says_what_ends_a_text_and_what_a_mask_takes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    manifests: list[Manifest] = []

    def stop(texts: Sequence[str], manifest: Manifest, tokenizer_file: Path) -> list[int]:
        manifests.append(manifest)
        raise ExportError("enough")

    monkeypatch.setattr(pipeline, "token_ids_of", stop)
    model = make_model("generate", make_config(100, is_decoder=True, eos_token_id=[7, 9]))
    checkpoint = save_model(model, tmp_path / "checkpoint")
    mask = {"content": "[MASK]", "lstrip": False}
    (checkpoint / "tokenizer_config.json").write_text(json.dumps({"mask_token": mask}))
    with pytest.raises(ExportError, match="enough"):
        export_checkpoint(checkpoint, tmp_path / "bundle", ExportOptions())
    file = manifests[0].tokenizer
    assert (file.eos_id, file.further_eos_ids, file.mask_lstrip) == (7, [9], False)
    assert not Tokenizer.of_file(file, tmp_path).mask_lstrip


@pytest.mark.usefixtures("without_tracing")
def test_labels_that_a_person_gave_hold_in_the_bundle_and_when_it_is_checked_again(
    small_export: SmallExport, tmp_path: Path
) -> None:
    folder = Path(shutil.copytree(small_export.checkpoint, tmp_path / "checkpoint"))
    config = json.loads((folder / "config.json").read_text()) | {"id2label": {"0": "O", "1": "PER", "2": "PER"}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(ConfigError, match=r"checkpoint: labels: 'PER' is given twice"):
        export_checkpoint(folder, tmp_path / "bundle", ONE_BUCKET)
    given = ExportOptions(buckets=(112,), labels=("O", "B-PER", "I-PER"))
    manifest = export_checkpoint(folder, tmp_path / "bundle", given)
    assert manifest.labels == ["O", "B-PER", "I-PER"]
    assert manifest.model["id2label"] == {"0": "O", "1": "B-PER", "2": "I-PER"}
    (bucket,) = verify_bundle(tmp_path / "bundle", folder)
    assert bucket.length == 112


@pytest.mark.usefixtures("without_tracing")
def test_labels_that_were_made_up_are_noted_in_the_manifest(small_export: SmallExport, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(small_export.checkpoint, tmp_path / "checkpoint"))
    config = json.loads((folder / "config.json").read_text()) | {"id2label": {"0": "O", "1": "PER"}}
    (folder / "config.json").write_text(json.dumps(config))
    manifest = export_checkpoint(folder, tmp_path / "bundle", ONE_BUCKET)
    assert manifest.labels == ["O", "PER", "LABEL_2"]
    assert [line for line in manifest.source.changes if "made up: LABEL_2" in line]


@pytest.mark.usefixtures("without_tracing")
def test_the_same_checkpoint_gives_the_same_files(small_export: SmallExport, tmp_path: Path) -> None:
    for name in ("one", "two"):
        export_checkpoint(small_export.checkpoint, tmp_path / name, ONE_BUCKET)
    one, two = (_contents(tmp_path / name) for name in ("one", "two"))
    assert all(one[file] == two[file] for file in ("weights.bin", "tokenizer.model", "graph-full.onnx"))


def test_every_bucket_that_a_graph_takes_can_be_asked_for_without_another_trace(
    small_export: SmallExport, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """One graph serves all sixteen; the longest of each kind of attention has its memory measured."""
    traced: list[Sequence[GraphPlan]] = []

    def from_the_bundle(model: BigBird, signature: Signature, plans: Sequence[GraphPlan]) -> ir.Model:
        traced.append(plans)
        return ir.from_proto(onnx.load(small_export.bundle / "graph.onnx"))

    monkeypatch.setattr(pipeline, "trace", from_the_bundle)
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", ExportOptions(buckets=BucketStep(16)))
    assert traced == [[GraphPlan("full", 1, 112, 1), GraphPlan("block_sparse", 128, 256, 16)]]
    assert [bucket.length for bucket in manifest.buckets] == list(range(16, 257, 16))
    measured = [bucket.length for bucket in manifest.buckets if bucket.peak_memory_measured]
    assert measured in ([112, 256], [])
    assert [run.bucket for run in manifest.known_answer.runs] == [16, 112, 128, 256]
    for bucket in manifest.buckets:
        longest = manifest.buckets[6 if bucket.attention == "full" else 15]
        if longest.peak_memory_bytes is not None:
            assert bucket.peak_memory_bytes == longest.peak_memory_bytes * bucket.length // longest.length


@pytest.mark.usefixtures("without_tracing")
def test_several_precisions_are_exported_with_the_same_references(
    small_export: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    runs: list[int] = []
    run = TorchSession.run

    def count(self: TorchSession, batch: Batch, control: RunControl | None = None) -> Outputs:
        runs.append(batch.input_ids.shape[1])
        return run(self, batch, control)

    monkeypatch.setattr(TorchSession, "run", count)
    outputs: dict[Precision, Path] = {"fp32": tmp_path / "large", "int8": tmp_path / "small"}
    options = ExportOptions(buckets=(48, 112), precision="bf16")
    manifests = export_precisions(small_export.checkpoint, outputs, options)
    # 48 and 112 tokens, and three more around an edge inside 112 tokens; each once, whatever the precision.
    assert len(runs) == len(
        set(manifests[0].buckets[0].parity[0].documents + manifests[0].buckets[1].parity[0].documents)
    )
    assert [manifest.precision for manifest in manifests] == ["fp32", "int8"]
    for manifest, folder in zip(manifests, outputs.values(), strict=True):
        assert open_bundle(folder).manifest == manifest
    assert (outputs["int8"] / "weights.bin").stat().st_size < (outputs["fp32"] / "weights.bin").stat().st_size


@pytest.mark.usefixtures("without_tracing")
def test_of_several_precisions_those_before_a_failure_are_kept(
    small_export: SmallExport, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(graph: ir.Model) -> None:
        raise ExportError("no 8 bits today")

    monkeypatch.setattr(pipeline, "quantise", fail)
    outputs: dict[Precision, Path] = {"fp32": tmp_path / "fp32", "int8": tmp_path / "int8"}
    with pytest.raises(ExportError, match="no 8 bits today"):
        export_precisions(small_export.checkpoint, outputs, ONE_BUCKET)
    assert [path.name for path in tmp_path.iterdir()] == ["fp32"]
    assert open_bundle(outputs["fp32"]).manifest.precision == "fp32"


def test_no_precision_is_begun_if_the_place_of_another_is_taken(small_export: SmallExport, tmp_path: Path) -> None:
    (tmp_path / "int8").touch()
    outputs: dict[Precision, Path] = {"fp32": tmp_path / "fp32", "int8": tmp_path / "int8"}
    with pytest.raises(ExportError, match="int8: "):
        export_precisions(small_export.checkpoint, outputs, ONE_BUCKET)
    assert [path.name for path in tmp_path.iterdir()] == ["int8"]


@pytest.mark.usefixtures("without_tracing")
def test_choices_stand_in_the_manifest(small_export: SmallExport, tmp_path: Path) -> None:
    options = ExportOptions(buckets=(112,), pattern="none", pair_types="zeros", tolerance=0.5)
    manifest = export_checkpoint(small_export.checkpoint, tmp_path / "bundle", options)
    assert (manifest.pattern, manifest.pair_types, manifest.max_length) == ("none", "zeros", 112)
    assert manifest.buckets[0].parity[0].tolerance >= 0.5
    assert read_manifest(tmp_path / "bundle") == manifest


# What can go wrong, each with the error that the person who exports sees.


class SpoiltSession:
    """Gives logits that are off by a little in one place."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def run(self, batch: Batch, control: RunControl | None = None) -> Outputs:
        logits: np.ndarray = self._session.run(batch)["logits"].copy()
        logits[-1, 0, 0] += 1e-3
        return {"logits": logits}


def _spoil_session(monkeypatch: pytest.MonkeyPatch) -> None:
    real = graph_check.open_session
    monkeypatch.setattr(graph_check, "open_session", lambda *args, **options: SpoiltSession(real(*args, **options)))


def _change_graph(monkeypatch: pytest.MonkeyPatch, change: Callable[[ir.Node], object], op_type: str) -> None:
    good = pipeline.trace

    def spoilt(model: BigBird, signature: Signature, plans: Sequence[GraphPlan]) -> ir.Model:
        graph = good(model, signature, plans)
        change(next(node for node in graph.graph if node.op_type == op_type))
        return graph

    monkeypatch.setattr(pipeline, "trace", spoilt)


def _spoil_graph(monkeypatch: pytest.MonkeyPatch) -> None:
    """Exact in place of approximate GELU: a whole graph, and logits that are off by little."""
    _change_graph(monkeypatch, lambda node: node.attributes.clear(), "Gelu")


def _spoil_loading(monkeypatch: pytest.MonkeyPatch) -> None:
    _change_graph(monkeypatch, lambda node: setattr(node, "op_type", "NoSuchOperator"), "Gelu")


def _interrupt(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bigbird_inference.manifest.file_sha256", interrupted)


Spoil = Callable[[pytest.MonkeyPatch], None]
FAILURES = [
    pytest.param(_spoil_session, ExportError, "bucket 112: outputs differ from torch", id="a session that is off"),
    pytest.param(_spoil_graph, ExportError, "bucket 112: outputs differ from torch", id="a graph that is off"),
    pytest.param(_spoil_loading, ExportError, "graph-full.onnx", id="a graph that cannot be loaded"),
    pytest.param(_interrupt, KeyboardInterrupt, "^$", id="an interruption"),
]


@pytest.mark.usefixtures("without_tracing")
@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_failed_export_leaves_nothing_behind(
    spoil: Spoil,
    error: type[BaseException],
    message: str,
    small_export: SmallExport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    spoil(monkeypatch)
    with pytest.raises(error, match=message):
        export_checkpoint(small_export.checkpoint, tmp_path / "bundle", ONE_BUCKET)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("without_tracing")
@pytest.mark.parametrize(("spoil", "error", "message"), FAILURES)
def test_a_failed_export_leaves_the_bundle_that_it_should_have_replaced(
    spoil: Spoil,
    error: type[BaseException],
    message: str,
    small_export: SmallExport,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    bundle = Path(shutil.copytree(small_export.bundle, tmp_path / "bundle"))
    before = _contents(bundle)
    spoil(monkeypatch)
    with pytest.raises(error, match=message):
        export_checkpoint(small_export.checkpoint, bundle, ONE_BUCKET, overwrite=True)
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]
    assert _contents(bundle) == before


def _edit_config(checkpoint: Path, **fields: Any) -> None:
    values = json.loads((checkpoint / "config.json").read_text())
    (checkpoint / "config.json").write_text(json.dumps(values | fields))


def _drop_a_weight(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    del tensors["classifier.weight"]
    save_file(tensors, checkpoint / "model.safetensors")


def _cut_the_vocabulary(checkpoint: Path) -> None:
    tensors = load_file(checkpoint / "model.safetensors")
    name = "bert.embeddings.word_embeddings.weight"
    save_file(tensors | {name: tensors[name][:50].clone()}, checkpoint / "model.safetensors")
    _edit_config(checkpoint, vocab_size=50)


@pytest.mark.parametrize(
    ("spoil", "options", "error", "message"),
    [
        pytest.param(_drop_a_weight, ONE_BUCKET, CheckpointError, "missing: classifier.weight", id="a missing weight"),
        pytest.param(
            lambda folder: _edit_config(folder, vocab_size=3),
            ONE_BUCKET,
            ConfigError,
            "vocab_size: is 3, but the weights have rows for 100 tokens",
            id="weights of another vocabulary",
        ),
        pytest.param(
            _cut_the_vocabulary, ONE_BUCKET, CheckpointError, "vocab_size", id="a tokenizer of another vocabulary"
        ),
        pytest.param(
            lambda folder: _edit_config(folder, hidden_act="sine"),
            ONE_BUCKET,
            ConfigError,
            "hidden_act",
            id="activation",
        ),
        pytest.param(
            lambda folder: (folder / "spiece.model").write_bytes(b"?"),
            ONE_BUCKET,
            CheckpointError,
            "spiece.model",
            id="a spoilt tokenizer",
        ),
        pytest.param(
            lambda _: None, ExportOptions(buckets=(160,)), ExportError, "112 is missing", id="buckets without the edge"
        ),
        pytest.param(
            lambda _: None, ExportOptions(pattern="?"), ExportError, "pattern", id="a pattern that does not exist"
        ),
        pytest.param(lambda _: None, ExportOptions(task="?"), CheckpointError, "task", id="an unknown task"),
        pytest.param(
            lambda _: None,
            ExportOptions(task="qa"),
            CheckpointError,
            "checkpoint: has no head for qa, only for ner; `bigbird finetune` with --task qa makes one",
            id="a head for another task",
        ),
        pytest.param(
            lambda folder: (folder / "spiece.model").unlink(),
            ONE_BUCKET,
            CheckpointError,
            r"spiece.model: missing; there is no tokenizer.json or vocab.txt either. Copy one of them from the model",
            id="no tokenizer",
        ),
    ],
)
def test_a_checkpoint_that_does_not_fit_leaves_nothing_behind(
    spoil: Callable[[Path], object],
    options: ExportOptions,
    error: type[ExportError],
    message: str,
    small_export: SmallExport,
    tmp_path: Path,
) -> None:
    checkpoint = Path(shutil.copytree(small_export.checkpoint, tmp_path / "checkpoint"))
    spoil(checkpoint)
    with pytest.raises(error, match=message):
        export_checkpoint(checkpoint, tmp_path / "deep" / "below" / "bundle", options)
    assert {path.name for path in tmp_path.rglob("*bundle*")} == set()


def test_a_folder_that_exists_is_kept_unless_it_may_be_replaced(small_export: SmallExport, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(small_export.bundle, tmp_path / "bundle"))
    before = _contents(bundle)
    with pytest.raises(ExportError, match=f"^{re.escape(str(bundle))}: exists already.*--overwrite"):
        export_checkpoint(small_export.checkpoint, bundle, ONE_BUCKET)
    assert _contents(bundle) == before


@pytest.mark.usefixtures("without_tracing")
def test_a_bundle_that_may_be_replaced_is_replaced_whole(small_export: SmallExport, tmp_path: Path) -> None:
    bundle = Path(shutil.copytree(small_export.bundle, tmp_path / "bundle"))
    manifest = export_checkpoint(small_export.checkpoint, bundle, ONE_BUCKET, overwrite=True)
    assert sorted(_contents(bundle)) == ["graph-full.onnx", "manifest.json", "tokenizer.model", "weights.bin"]
    assert open_bundle(bundle).manifest == manifest
    assert [path.name for path in tmp_path.iterdir()] == ["bundle"]


@pytest.mark.parametrize("kind", ["folder", "file"])
def test_what_is_no_bundle_is_never_replaced(kind: str, small_export: SmallExport, tmp_path: Path) -> None:
    output = tmp_path / "precious"
    if kind == "folder":
        output.mkdir()
        (output / "thesis.txt").write_text("years of work")
    else:
        output.write_text("years of work")
    before = _contents(tmp_path)
    with pytest.raises(ExportError, match="precious: is not a bundle"):
        export_checkpoint(small_export.checkpoint, output, ONE_BUCKET, overwrite=True)
    assert _contents(tmp_path) == before


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """Let every file of this process end there, as a full disk would."""
    usual = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, usual[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, usual)


@pytest.mark.usefixtures("without_tracing")
@pytest.mark.parametrize("replaced", [False, True], ids=["at a free place", "over another bundle"])
@pytest.mark.parametrize("share", [0.01, 0.5, 0.99], ids=lambda share: f"at {share:.0%} of the largest file")
def test_a_full_disk_is_one_line_and_leaves_nothing_behind(
    share: float, replaced: bool, small_export: SmallExport, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle"
    if replaced:
        shutil.copytree(small_export.bundle, bundle)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    limit = int(share * max(file.stat().st_size for file in small_export.bundle.iterdir()))
    with pytest.raises(ExportError) as refused, files_of_at_most(limit):
        export_checkpoint(small_export.checkpoint, bundle, ONE_BUCKET, overwrite=replaced)
    assert str(refused.value) == f"{bundle}: File too large"
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert len(list(tmp_path.iterdir())) == replaced
