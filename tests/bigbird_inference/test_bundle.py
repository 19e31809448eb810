import copy
import hashlib
import json
import os
import re
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from bigbird_inference.bundle import open_bundle, read_manifest, write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import FORMAT_VERSION, HashedFile, Manifest, manifest_schema
from tests.fake_model import MODEL_CONFIG

FILES = {
    "weights.bin": b"weights",
    "tokenizer.model": b"tokenizer",
    "graph-full.onnx": b"a graph",
    "graph-block_sparse.onnx": b"another graph",
}


def _hashed(file: str) -> dict[str, Any]:
    return {"file": file, "bytes": len(FILES[file]), "sha256": hashlib.sha256(FILES[file]).hexdigest()}


def _graph(attention: str, shortest: int, longest: int) -> dict[str, Any]:
    return {
        **_hashed(f"graph-{attention}.onnx"),
        "attention": attention,
        "attention_kernel": "composed",
        "shortest": shortest,
        "longest": longest,
        "step": 16,
    }


def _bucket(length: int, attention: str) -> dict[str, Any]:
    parity = {
        "attention_kernel": "composed",
        "max_abs_difference": 2e-6,
        "mean_abs_difference": 3e-7,
        "logits_std": 0.6,
        "correlation": 0.999,
        "agreement": 1.0,
        "tolerance": 1e-4,
        "documents": [1, 63, length],
        "checked_with": "onnxruntime",
    }
    return {
        "length": length,
        "attention": attention,
        "parity": [parity],
        "peak_memory_bytes": None,
        "peak_memory_measured": False,
    }


def _known_run(length: int, bucket: int) -> dict[str, Any]:
    return {
        "length": length,
        "bucket": bucket,
        "expected": [{"output": "logits", "values": [0.25, -1.5], "mean": 0.125, "std": 0.75}],
        "tolerance": 1e-3,
    }


# Written by hand: what a reader who knows the documentation only would expect in a manifest.
MANIFEST: dict[str, Any] = {
    "format_version": 2,
    "task": "ner",
    "labels": ["O", "B-PER", "I-PER"],
    "problem_type": None,
    "pattern": "transformers",
    "precision": "fp32",
    "pair_types": "segments",
    "block_size": 16,
    "max_length": 128,
    "max_batch_items": None,
    "tokenizer": {
        **_hashed("tokenizer.model"),
        "cls_id": 1,
        "sep_id": 2,
        "pad_id": 0,
        "mask_id": None,
        "eos_id": None,
        "kind": "sentencepiece",
        "mask_lstrip": True,
        "added_tokens": [],
    },
    "weights": _hashed("weights.bin"),
    "inputs": [
        {"name": name, "dtype": "int64", "shape": ["batch", "length"]}
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ],
    "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", "length", 3]}],
    "graphs": [_graph("full", 16, 64), _graph("block_sparse", 80, 128)],
    "buckets": [_bucket(64, "full"), _bucket(128, "block_sparse")],
    "source": {
        "name": "checkpoint",
        "kind": "safetensors",
        "sha256": "0" * 64,
        "assumptions": [],
        "note": None,
        "changes": [],
        "ignore_weights": [],
        "base": None,
    },
    "model": {**MODEL_CONFIG, "hidden_act": "gelu_new"},
    "versions": {"torch": "2.13.0"},
    "known_answer": {
        "text": "Zoë pays 3 €.",
        "token_ids": [5, 9, 7],
        "runs": [_known_run(60, 64), _known_run(66, 128)],
    },
}


def _cpu_run(precision: str) -> dict[str, Any]:
    """What was measured in OpenVINO, for the manifest above."""
    buckets = copy.deepcopy(MANIFEST["buckets"])
    for bucket in buckets:
        bucket["parity"][0] |= {"checked_with": "openvino", "max_abs_difference": 3e-6}
    return {
        "runtime": "openvino",
        "precision": precision,
        "version": "2026.4.1",
        "buckets": buckets,
        "known_runs": [_known_run(60, 64) | {"tolerance": 0.5}, _known_run(66, 128)],
        "graphs": [],
    }


MEASURED: dict[str, Any] = {**MANIFEST, "cpu_runs": [_cpu_run("fp32"), _cpu_run("bf16")]}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "entities"
    folder.mkdir()
    for file, content in FILES.items():
        (folder / file).write_bytes(content)
    _write(folder, MANIFEST)
    return folder


def _write(folder: Path, values: object) -> None:
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")


def test_a_whole_bundle_is_opened_under_its_folders_name(folder: Path) -> None:
    bundle = open_bundle(folder)
    assert bundle.name == "entities"
    assert bundle.path("weights.bin").read_bytes() == b"weights"
    assert [bucket.length for bucket in bundle.manifest.buckets] == [64, 128]
    assert bundle.manifest.tokenizer.mask_id is None
    assert bundle.manifest.labels == ["O", "B-PER", "I-PER"]


def test_a_bundle_opened_through_a_relative_path_still_has_its_name(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    assert open_bundle(Path()).name == "entities"


def test_a_manifest_that_is_written_reads_back_equal(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(manifest, folder)
    assert read_manifest(folder) == manifest
    written = json.loads((folder / "manifest.json").read_text(encoding="utf-8"))
    # A bundle that was made before there were these fields.
    assert written["tokenizer"].pop("further_eos_ids") == []
    assert written["tokenizer"].pop("token_types") == "segments"
    assert written.pop("cpu_runs") == []
    assert (written.pop("pooling"), written["source"].pop("positions")) == (None, None)
    assert written == MANIFEST


def test_what_was_measured_in_other_runtimes_reads_back_equal(folder: Path) -> None:
    _write(folder, MEASURED)
    manifest = open_bundle(folder).manifest
    assert [(run.runtime, run.precision, run.version) for run in manifest.cpu_runs] == [
        ("openvino", "fp32", "2026.4.1"),
        ("openvino", "bf16", "2026.4.1"),
    ]
    assert manifest.cpu_runs[1].buckets[0].parity[0].max_abs_difference == 3e-6
    assert manifest.cpu_runs[1].known_runs[0].tolerance == 0.5
    write_manifest(manifest, folder)
    assert read_manifest(folder) == manifest
    jsonschema.Draft202012Validator(manifest_schema()).validate(MEASURED)


def test_a_manifest_says_of_another_runtime_what_it_says_of_onnxruntime(folder: Path) -> None:
    """Without the graphs that only onnxruntime runs, and without a known answer where none was kept."""
    values = with_both_kernels() | {"cpu_runs": copy.deepcopy(MEASURED["cpu_runs"])}
    values["cpu_runs"][1]["known_runs"] = []
    _write(folder, values)
    manifest = read_manifest(folder)
    fp32, bf16 = (manifest.as_run_by(run) for run in manifest.cpu_runs)
    assert {graph.file for graph in fp32.graphs} == {"graph-full.onnx", "graph-block_sparse.onnx"}
    assert fp32.buckets == manifest.cpu_runs[0].buckets
    assert fp32.known_answer is not None and fp32.known_answer.text == "Zoë pays 3 €."
    assert fp32.known_answer.runs == manifest.cpu_runs[0].known_runs
    assert bf16.known_answer is None


def test_both_kinds_of_attention_may_have_the_same_graph(folder: Path) -> None:
    first, second = MANIFEST["graphs"]
    joined = first | {field: second[field] for field in ("attention", "shortest", "longest", "step")}
    _write(folder, {**MANIFEST, "graphs": [first, joined]})
    bundle = open_bundle(folder)
    assert [file.path.name for file in bundle.files].count(first["file"]) == 1
    _write(folder, {**MANIFEST, "graphs": [first, joined | {"sha256": second["sha256"]}]})
    with pytest.raises(BundleError, match="two parts of the bundle are the same file"):
        open_bundle(folder)


def test_a_graph_of_another_runtime_is_compared_with_its_hash(folder: Path) -> None:
    own = [graph | {"file": f"openvino-{graph['attention']}.xml"} for graph in MANIFEST["graphs"]]
    contents = {graph["file"]: FILES[given["file"]] for graph, given in zip(own, MANIFEST["graphs"], strict=True)}
    contents |= {file.replace(".xml", ".bin"): b"weights of " + file.encode() for file in contents}
    for file, content in contents.items():
        (folder / file).write_bytes(content)
    weights = [asdict(HashedFile.of(folder / file)) for file in contents if file.endswith(".bin")]
    _write(folder, {**MANIFEST, "cpu_runs": [_cpu_run("bf16") | {"graphs": own, "weights": weights}]})
    bundle = open_bundle(folder)
    assert {file.path.name for file in bundle.files} >= contents.keys()
    manifest = bundle.manifest.as_run_by(bundle.manifest.cpu_runs[0])
    assert [graph.file for graph in manifest.graphs] == [graph["file"] for graph in own]
    for file, content in contents.items():
        (folder / file).write_bytes(content[:-1] + b"?")
        with pytest.raises(BundleError, match=f"{file}: its contents do not match the hash"):
            open_bundle(folder)
        (folder / file).write_bytes(content)
    _write(folder, {**MANIFEST, "cpu_runs": [_cpu_run("bf16") | {"graphs": own, "weights": weights[:1]}]})
    with pytest.raises(BundleError, match="cpu_runs: openvino: graphs and weights do not belong together"):
        open_bundle(folder)


def test_a_bundle_of_before_these_fields_has_sentencepiece_and_no_added_tokens(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST)
    for name in ("kind", "mask_lstrip", "added_tokens"):
        del values["tokenizer"][name]
    _write(folder, values)
    tokenizer = read_manifest(folder).tokenizer
    assert (tokenizer.kind, tokenizer.mask_lstrip, tokenizer.added_tokens) == ("sentencepiece", True, [])


def test_a_bundle_that_is_being_made_has_no_known_answer_yet(folder: Path) -> None:
    unfinished = {name: value for name, value in MANIFEST.items() if name != "known_answer"}
    jsonschema.validate(unfinished, manifest_schema())
    _write(folder, unfinished)
    assert open_bundle(folder).manifest.known_answer is None


def with_both_kernels() -> dict[str, Any]:
    """The manifest with a fused graph beside each composed one."""
    values = copy.deepcopy(MANIFEST)
    for graph in MANIFEST["graphs"]:
        fused = graph["file"].replace(".onnx", "-fused.onnx")
        values["graphs"].append(graph | {"file": fused, "attention_kernel": "fused"})
    for bucket in values["buckets"]:
        bucket["parity"].append(bucket["parity"][0] | {"attention_kernel": "fused"})
    return values


def test_a_graph_is_found_by_its_attention_and_its_kernel(folder: Path) -> None:
    _write(folder, with_both_kernels())
    manifest = read_manifest(folder)
    assert manifest.kernels == {"composed", "fused"}
    assert manifest.graph("full", "composed").file == "graph-full.onnx"
    assert manifest.graph("block_sparse", "fused").file == "graph-block_sparse-fused.onnx"


def test_a_graph_takes_whole_steps_between_its_shortest_and_its_longest_length(folder: Path) -> None:
    graph = read_manifest(folder).graph("block_sparse", "composed")
    assert [length for length in range(200) if graph.takes(length)] == [80, 96, 112, 128]


def test_labels_in_any_script_stand_in_the_file_as_they_are(folder: Path) -> None:
    _write(folder, MANIFEST | {"labels": ["人名", "Straße", "O"]})
    write_manifest(read_manifest(folder), folder)
    assert "人名" in (folder / "manifest.json").read_text(encoding="utf-8")


@pytest.mark.parametrize("file", FILES)
def test_a_missing_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    with pytest.raises(BundleError, match=f"{file}: missing"):
        open_bundle(folder)


@pytest.mark.parametrize("file", FILES)
def test_a_folder_in_the_place_of_a_file_is_named(folder: Path, file: str) -> None:
    (folder / file).unlink()
    (folder / file).mkdir()
    with pytest.raises(BundleError, match=f"{file}: missing"):
        open_bundle(folder)


@pytest.mark.parametrize("spoil", ["a changed byte", "a byte too many", "a byte too few"])
@pytest.mark.parametrize("file", FILES)
def test_a_changed_file_is_named(folder: Path, file: str, spoil: str) -> None:
    content = FILES[file]
    changed = {
        "a changed byte": content[:-1] + bytes([content[-1] ^ 1]),
        "a byte too many": content + b"\0",
        "a byte too few": content[:-1],
    }
    (folder / file).write_bytes(changed[spoil])
    with pytest.raises(BundleError, match=rf"{file}: its contents do not match the hash in manifest\.json"):
        open_bundle(folder)


def test_a_missing_manifest_is_named(folder: Path) -> None:
    (folder / "manifest.json").unlink()
    with pytest.raises(BundleError, match=r"manifest\.json: missing"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "content", [b"", b"{", b"\xff\xfe{}", b"{'task': 1}"], ids=["empty", "cut off", "no UTF-8", "no JSON"]
)
def test_a_manifest_that_is_no_json_is_named(folder: Path, content: bytes) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError, match=r"manifest\.json: cannot be read as JSON"):
        open_bundle(folder)


@pytest.mark.parametrize(
    "values",
    [
        pytest.param(MANIFEST | {"format_version": 3}, id="a later version"),
        pytest.param(MANIFEST | {"format_version": True}, id="a version that is true"),
        pytest.param(MANIFEST | {"format_version": 0}, id="an earlier version"),
        pytest.param(MANIFEST | {"format_version": "1"}, id="a version that is text"),
        pytest.param({"format_version": None}, id="a version that is null"),
        pytest.param({}, id="no version"),
        pytest.param([], id="a list"),
        pytest.param(None, id="null"),
        pytest.param("1", id="a text"),
    ],
)
def test_an_unknown_format_version_is_refused_by_file_and_field(folder: Path, values: object) -> None:
    _write(folder, values)
    with pytest.raises(BundleError, match=r"manifest\.json: format_version"):
        open_bundle(folder)


def test_a_bundle_of_the_first_format_is_refused_with_what_to_do(folder: Path) -> None:
    """It had a graph for each bucket."""
    first = {name: value for name, value in MANIFEST.items() if name != "graphs"}
    _write(folder, first | {"format_version": 1, "attention_kernel": "composed"})
    with pytest.raises(BundleError) as refused:
        open_bundle(folder)
    assert str(refused.value) == (
        f"{folder / 'manifest.json'}: format_version is 1; this version reads 2: export the checkpoint again with "
        "`bigbird export`"
    )


def _set(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    def edit(values: Any) -> None:
        for part in path[:-1]:
            values = values[part]
        values[path[-1]] = value

    return edit


def _remove(*path: str | int) -> Callable[[dict[str, Any]], None]:
    def edit(values: Any) -> None:
        for part in path[:-1]:
            values = values[part]
        del values[path[-1]]

    return edit


# The version is told apart from a misfit, and a bundle that is being made has no known answer.
UNREQUIRED = ("format_version", "known_answer")

MISFITS = [
    pytest.param(_set("extra", value=1), "extra", id="an extra field"),
    pytest.param(_set("tokenizer", "extra", value=1), "tokenizer.extra", id="an extra field of the tokenizer"),
    pytest.param(_set("buckets", 1, "extra", value=1), "buckets.1.extra", id="an extra field of a bucket"),
    pytest.param(_set("buckets", 0, "parity", 0, "x", value=1), "buckets.0.parity.0.x", id="an extra figure"),
    *(pytest.param(_remove(name), name, id=f"no {name}") for name in MANIFEST if name not in UNREQUIRED),
    pytest.param(_set("graphs", 0, "extra", value=1), "graphs.0.extra", id="an extra field of a graph"),
    pytest.param(_remove("graphs", 0, "sha256"), "graphs.0.sha256", id="a graph without hash"),
    pytest.param(_remove("buckets", 0, "peak_memory_measured"), "peak_memory_measured", id="memory from nowhere"),
    pytest.param(_remove("known_answer", "runs", 0, "length"), "known_answer.runs.0.length", id="a run of no length"),
    pytest.param(_set("task", value="summarise"), "task", id="an unknown task"),
    pytest.param(_set("precision", value="fp8"), "precision", id="an unknown precision"),
    pytest.param(_set("graphs", 0, "attention_kernel", value="flash"), "graphs.0.attention_kernel", id="a new kernel"),
    pytest.param(_set("attention_kernel", value="composed"), "attention_kernel", id="a kernel of the whole bundle"),
    pytest.param(_set("buckets", 0, "parity", 0, "checked_with", value="eyes"), "checked_with", id="an unknown check"),
    pytest.param(_set("pair_types", value="ones"), "pair_types", id="unknown pair types"),
    pytest.param(_set("problem_type", value="ranking"), "problem_type", id="an unknown problem type"),
    pytest.param(_set("buckets", 0, "attention", value="dense"), "buckets.0.attention", id="unknown attention"),
    pytest.param(_set("labels", value="O"), "labels", id="labels that are not a list"),
    pytest.param(_set("labels", value=[1]), "labels.0", id="a label that is a number"),
    pytest.param(_set("block_size", value="16"), "block_size", id="a number that is text"),
    pytest.param(_set("block_size", value=16.5), "block_size", id="half a token"),
    pytest.param(_set("block_size", value=True), "block_size", id="a number that is true"),
    pytest.param(_set("max_length", value=1), "max_length", id="no room for a token"),
    pytest.param(_set("max_length", value=2**20 + 1), "max_length", id="more than a million tokens"),
    pytest.param(_set("buckets", 1, "length", value=2**31 - 1), "buckets.1.length", id="a bucket of two billion"),
    pytest.param(_set("graphs", 1, "longest", value=2**31 - 1), "graphs.1.longest", id="a graph for two billion"),
    pytest.param(_set("model", "hidden_size", value=2**30), "hidden_size", id="a billion hidden units"),
    pytest.param(_set("labels", value=["a"] * 100_001), "labels", id="more labels than anybody reads"),
    pytest.param(_set("labels", value=["O", ""]), "labels.1", id="a label without a name"),
    pytest.param(_set("tokenizer", "cls_id", value=-1), "tokenizer.cls_id", id="a negative id"),
    pytest.param(_set("tokenizer", "cls_id", value=None), "tokenizer.cls_id", id="no id"),
    pytest.param(_set("buckets", value=[]), "buckets", id="no buckets"),
    pytest.param(_set("graphs", value=[]), "graphs", id="no graphs"),
    pytest.param(_set("graphs", 0, "step", value=0), "graphs.0.step", id="a graph without step"),
    pytest.param(_set("buckets", 0, "parity", value=[]), "buckets.0.parity", id="a bucket that was not compared"),
    pytest.param(_set("known_answer", "runs", value=[]), "known_answer.runs", id="a known answer without runs"),
    pytest.param(_set("known_answer", "runs", 0, "length", value=2), "known_answer.runs.0.length", id="no own token"),
    pytest.param(_set("buckets", 1, "length", value=-128), "buckets.1.length", id="a negative bucket"),
    pytest.param(_set("graphs", 0, "sha256", value="0" * 63), "graphs.0.sha256", id="a short hash"),
    pytest.param(_set("weights", "sha256", value="A" * 64), "weights.sha256", id="a hash in capitals"),
    pytest.param(_set("weights", "sha256", value="0" * 64 + "\n"), "weights.sha256", id="a hash and a line"),
    pytest.param(_set("weights", "file", value="../weights.bin"), "weights.file", id="a file outside the bundle"),
    pytest.param(_set("weights", "file", value="/etc/passwd"), "weights.file", id="an absolute path"),
    pytest.param(_set("tokenizer", "file", value=".."), "tokenizer.file", id="the folder above"),
    pytest.param(_set("tokenizer", "file", value=""), "tokenizer.file", id="a file without name"),
    pytest.param(_set("graphs", 0, "file", value="a\\b"), "graphs.0.file", id="a backslash"),
    pytest.param(_set("inputs", 0, "shape", 1, value=None), "inputs.0.shape.1", id="an axis that is null"),
    pytest.param(_set("buckets", 0, "parity", 0, "logits_std", value=-1), "logits_std", id="a negative deviation"),
    pytest.param(_set("buckets", 0, "parity", 0, "tolerance", value=0), "tolerance", id="no tolerance"),
    pytest.param(_set("buckets", 0, "parity", 0, "logits_std", value=float("nan")), "NaN is not JSON", id="no number"),
    pytest.param(_set("versions", "torch", value=2.13), "versions.torch", id="a version that is a number"),
    pytest.param(_set("model", value=None), "model", id="no configuration"),
]


def _run(*path: str | int, value: object) -> Callable[[dict[str, Any]], None]:
    return _set("cpu_runs", 1, *path, value=value)


MISFITS_OF_RUNS = [
    pytest.param(_run("runtime", value="tvm"), "cpu_runs.1.runtime", id="an unknown runtime"),
    pytest.param(_run("precision", value="int8"), "cpu_runs.1.precision", id="what no runtime computes in"),
    pytest.param(_run("extra", value=1), "cpu_runs.1.extra", id="an extra field"),
    pytest.param(_remove("cpu_runs", 1, "version"), "cpu_runs.1.version", id="no version"),
    pytest.param(_remove("cpu_runs", 1, "known_runs"), "cpu_runs.1.known_runs", id="no known runs"),
    pytest.param(_run("buckets", value=[]), "cpu_runs.1.buckets", id="no buckets"),
    pytest.param(_run("buckets", 0, "parity", value=[]), "cpu_runs.1.buckets.0.parity", id="a bucket not compared"),
    pytest.param(_run("graphs", value=[{"file": "../other.onnx"}]), "cpu_runs.1.graphs.0", id="a graph elsewhere"),
]


@pytest.mark.parametrize(("edit", "field"), MISFITS_OF_RUNS)
def test_figures_of_other_runtimes_that_do_not_fit_are_refused_by_file_and_field(
    folder: Path, edit: Callable[[dict[str, Any]], None], field: str
) -> None:
    values = copy.deepcopy(MEASURED)
    edit(values)
    _write(folder, values)
    with pytest.raises(BundleError, match=f"^{re.escape(str(folder / 'manifest.json'))}: {re.escape(field)}"):
        open_bundle(folder)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(manifest_schema()).validate(values)


@pytest.mark.parametrize(("edit", "field"), MISFITS)
def test_a_manifest_that_does_not_fit_is_refused_by_file_and_field(
    folder: Path, edit: Callable[[dict[str, Any]], None], field: str
) -> None:
    values = copy.deepcopy(MANIFEST)
    edit(values)
    _write(folder, values)
    with pytest.raises(BundleError) as refused:
        open_bundle(folder)
    assert f"{folder / 'manifest.json'}: " in str(refused.value)
    assert field in str(refused.value)


# NaN cannot stand in a schema, and a dollar sign in Python's regular expressions allows one line break.
ONLY_THE_READER = ("no number", "a hash and a line")


@pytest.mark.parametrize(("edit", "field"), [case for case in MISFITS if case.id not in ONLY_THE_READER])
def test_the_schema_refuses_what_the_reader_refuses(edit: Callable[[dict[str, Any]], None], field: str) -> None:
    values = copy.deepcopy(MANIFEST)
    edit(values)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.Draft202012Validator(manifest_schema()).validate(values)


def test_the_schema_is_valid_and_takes_the_manifest() -> None:
    schema = manifest_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(MANIFEST)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert FORMAT_VERSION == 2


CONTRADICTIONS = [
    pytest.param(_set("labels", value=["O", "B", "O"]), "labels: 'O' is given twice", id="a label twice"),
    pytest.param(_set("tokenizer", "file", value="weights.bin"), "graphs", id="weights that are the vocabulary"),
    pytest.param(_set("graphs", 1, "file", value="graph-full.onnx"), "graphs", id="two graphs in one file"),
    pytest.param(_set("graphs", 1, "attention", value="full"), "graphs: two have the same", id="two graphs alike"),
    pytest.param(
        _set("buckets", 0, "length", value=80), "buckets: no composed graph takes the full bucket of 80", id="too long"
    ),
    pytest.param(
        _set("graphs", 1, "shortest", value=144),
        "buckets: no composed graph takes the block_sparse bucket of 128",
        id="a bucket shorter than its graph takes",
    ),
    pytest.param(
        _set("buckets", 1, "length", value=120),
        "buckets: no composed graph takes the block_sparse bucket of 120",
        id="a bucket between two steps",
    ),
    pytest.param(_remove("graphs", 1), "buckets: no composed graph takes the block", id="a bucket without graph"),
    pytest.param(
        _set("graphs", 1, "attention_kernel", value="fused"),
        "buckets: no (composed|fused) graph takes the",
        id="a kernel for one attention only",
    ),
    pytest.param(
        _set("buckets", 1, "parity", 0, "attention_kernel", value="fused"),
        "buckets: 128 was not compared with every kernel",
        id="a comparison of another kernel",
    ),
    pytest.param(_set("tokenizer", "sep_id", value=1000), "tokenizer: the id 1000", id="an id beyond the vocabulary"),
    pytest.param(
        _set("tokenizer", "added_tokens", value=[{"content": "a", "id": 1000}]),
        "tokenizer: the id 1000",
        id="an added token beyond the vocabulary",
    ),
    pytest.param(
        _set("tokenizer", "added_tokens", value=[{"content": "a", "id": 9}, {"content": "b", "id": 9}]),
        "tokenizer: two added tokens have the same id",
        id="two added tokens in one place",
    ),
    pytest.param(_set("known_answer", "runs", 0, "bucket", value=256), "known_answer", id="a question to no bucket"),
    pytest.param(
        _set("known_answer", "runs", 1, "length", value=129), "known_answer", id="a question longer than its bucket"
    ),
    pytest.param(_set("known_answer", "token_ids", value=[1000]), "known_answer", id="a question of unknown tokens"),
    pytest.param(
        _set("known_answer", "runs", 1, "expected", 0, "output", value="x"), "known_answer", id="an unknown output"
    ),
]


@pytest.mark.parametrize(("edit", "field"), CONTRADICTIONS)
def test_fields_that_contradict_each_other_are_refused(
    folder: Path, edit: Callable[[dict[str, Any]], None], field: str
) -> None:
    values = copy.deepcopy(MANIFEST)
    edit(values)
    _write(folder, values)
    with pytest.raises(BundleError, match=f"^{re.escape(str(folder / 'manifest.json'))}: {field}"):
        read_manifest(folder)


CONTRADICTIONS_OF_RUNS = [
    pytest.param(_run("precision", value="fp32"), "two are of the same runtime in the same precision", id="one twice"),
    pytest.param(_remove("cpu_runs", 1, "buckets", 0), "openvino: known_answer: 60 tokens", id="a bucket too few"),
    pytest.param(
        lambda values: (_run("known_runs", value=[])(values), _remove("cpu_runs", 1, "buckets", 0)(values)),
        "openvino: the buckets are others",
        id="a bucket too few, and no known answer",
    ),
    pytest.param(
        _run("buckets", 0, "length", value=48), "openvino: known_answer: 60 tokens in bucket 64", id="another bucket"
    ),
    pytest.param(
        _run("buckets", 0, "length", value=80),
        "openvino: buckets: no composed graph takes the full bucket of 80",
        id="a bucket that no graph takes",
    ),
    pytest.param(
        _run("buckets", 1, "parity", 0, "attention_kernel", value="fused"),
        "openvino: buckets: 128 was not compared with every kernel",
        id="a comparison of a kernel that only onnxruntime runs",
    ),
    pytest.param(
        _run("known_runs", 1, "length", value=129), "openvino: known_answer: 129 tokens", id="a question too long"
    ),
    pytest.param(
        _run("known_runs", 1, "expected", 0, "output", value="x"),
        "openvino: known_answer: it is not about the outputs",
        id="an unknown output",
    ),
    pytest.param(
        _run("graphs", value=[_graph("full", 16, 64) | {"file": "weights.bin"}]),
        "openvino: graphs: two parts of the bundle are the same file",
        id="a graph that is the weights",
    ),
    pytest.param(
        _run("graphs", value=[_graph("full", 16, 64)]),
        "openvino: buckets: no composed graph takes the block_sparse bucket",
        id="graphs of one kind of attention only",
    ),
]


@pytest.mark.parametrize(("edit", "said"), CONTRADICTIONS_OF_RUNS)
def test_figures_of_other_runtimes_that_contradict_the_rest_are_refused(
    folder: Path, edit: Callable[[dict[str, Any]], None], said: str
) -> None:
    values = copy.deepcopy(MEASURED)
    edit(values)
    _write(folder, values)
    with pytest.raises(BundleError, match=f"^{re.escape(str(folder / 'manifest.json'))}: cpu_runs: {said}"):
        read_manifest(folder)


HOSTILE = [
    pytest.param(b'{"format_version": 2, "format_version": 2}', "'format_version' appears twice", id="a name twice"),
    pytest.param(b"[" * 100_000, "nested too deeply", id="a hundred thousand lists in lists"),
    pytest.param(b'{"format_version": ' + b"9" * 5000 + b"}", "cannot be read as JSON", id="a number of 5,000 digits"),
    pytest.param(b'{"format_version": "' + b"x" * 10_000 + b'"}', "format_version is 'xxx", id="a long version"),
    pytest.param(b"\xef\xbb\xbf{}", "cannot be read as JSON", id="a byte order mark"),
    pytest.param(b'{"\\ud800": 1}', "format_version is None", id="half of a surrogate pair"),
    pytest.param(b" " * (4 * 2**20 + 1), "is larger than 4194304 bytes", id="four megabytes of blanks"),
]


@pytest.mark.parametrize(("content", "reason"), HOSTILE)
def test_a_hostile_manifest_is_refused_in_one_short_line(folder: Path, content: bytes, reason: str) -> None:
    (folder / "manifest.json").write_bytes(content)
    with pytest.raises(BundleError) as refused:
        read_manifest(folder)
    message = str(refused.value)
    assert message.startswith(f"{folder / 'manifest.json'}: ") and reason in message
    assert message.isprintable() and len(message) < 1100


def test_what_a_manifest_quotes_cannot_break_the_line(folder: Path) -> None:
    _write(folder, MANIFEST | {"a\nsecond line \x1b[31m \u202e": 1})
    with pytest.raises(BundleError) as refused:
        read_manifest(folder)
    assert str(refused.value).isprintable()


@pytest.mark.parametrize(
    "file",
    [
        pytest.param("../outside", id="a file above"),
        pytest.param("/etc/hostname", id="a path from the root"),
        pytest.param("deeper/file", id="a file below"),
        pytest.param("..", id="the folder above"),
        pytest.param("weights\0.bin", id="a NUL"),
        pytest.param(".hidden", id="a hidden file"),
        pytest.param("", id="nothing"),
    ],
)
def test_a_manifest_names_only_files_beside_it(folder: Path, file: str) -> None:
    (folder.parent / "outside").write_bytes(FILES["weights.bin"])
    _write(folder, MANIFEST | {"weights": {**_hashed("weights.bin"), "file": file}})
    with pytest.raises(BundleError, match=r"manifest\.json: weights\.file"):
        open_bundle(folder)


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
def test_a_link_out_of_the_bundle_is_not_followed(folder: Path, file: str) -> None:
    """What it leads to is what was there: reading it would go well."""
    (folder / file).rename(folder.parent / file)
    (folder / file).symlink_to(folder.parent / file)
    with pytest.raises(BundleError, match=f"{re.escape(str(folder / file))}: leads out of the folder, to .*cp -rL"):
        open_bundle(folder)


@pytest.mark.parametrize("depth", [0, 1], ids=["the bundle is the snapshot", "the bundle is in the snapshot"])
def test_a_bundle_in_the_cache_of_the_hub_is_opened(folder: Path, tmp_path: Path, depth: int) -> None:
    """Its files are links to contents that lie beside all snapshots, and no link may lead elsewhere."""
    model = tmp_path / "hub" / "models--someone--tiny"
    snapshot = model / "snapshots" / "0123" / "/".join(["entities"] * depth)
    snapshot.mkdir(parents=True)
    (model / "blobs").mkdir()
    for number, file in enumerate(folder.iterdir()):
        file.rename(model / "blobs" / f"{number}")
        (snapshot / file.name).symlink_to(f"{'../' * depth}../../blobs/{number}")
    assert open_bundle(snapshot).manifest.task == "ner"
    weights = snapshot / "weights.bin"
    blob = weights.resolve()
    for elsewhere in (tmp_path / "weights", model / "refs", tmp_path / "hub" / "models--else" / "blobs" / "w"):
        elsewhere.parent.mkdir(parents=True, exist_ok=True)
        elsewhere.write_bytes(blob.read_bytes())
        weights.unlink()
        weights.symlink_to(elsewhere)
        with pytest.raises(BundleError, match=r"weights\.bin: leads out of the folder"):
            open_bundle(snapshot)


def test_a_folder_of_another_layout_may_not_lead_to_blobs_beside_it(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "blobs").mkdir()
    (folder / "weights.bin").rename(tmp_path / "blobs" / "w")
    (folder / "weights.bin").symlink_to(tmp_path / "blobs" / "w")
    with pytest.raises(BundleError, match="leads out of the folder"):
        open_bundle(folder)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        pytest.param(
            ["config.json"], "this is a checkpoint, not a bundle; `bigbird export .* makes", id="a checkpoint"
        ),
        pytest.param(["bert.ckpt-1.index"], "this is a checkpoint, not a bundle", id="a checkpoint of TensorFlow"),
        pytest.param(["qa/manifest.json", "ner/manifest.json"], "name one of them: ner, qa$", id="a folder of bundles"),
        pytest.param(["notes.txt"], "no bundle in it; `bigbird export` writes one$", id="something else"),
        pytest.param([], "no such folder", id="nothing"),
    ],
)
def test_what_is_no_bundle_is_told_by_what_it_is(tmp_path: Path, files: list[str], message: str) -> None:
    for file in files:
        (tmp_path / "other" / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "other" / file).touch()
    with pytest.raises(BundleError, match=rf"other/manifest\.json: missing; .*{message}"):
        read_manifest(tmp_path / "other")


def test_a_link_within_the_bundle_is_followed(folder: Path) -> None:
    (folder / "weights.bin").rename(folder / "really")
    (folder / "weights.bin").symlink_to("really")
    assert open_bundle(folder).name == "entities"


def test_a_bundle_behind_a_link_is_opened(folder: Path) -> None:
    (folder.parent / "current").symlink_to(folder)
    assert open_bundle(folder.parent / "current").folder == folder


@pytest.mark.parametrize("file", [*FILES, "manifest.json"])
def test_a_pipe_is_not_waited_for(folder: Path, file: str) -> None:
    (folder / file).unlink()
    os.mkfifo(folder / file)
    with pytest.raises(BundleError, match=f"{re.escape(str(folder / file))}: is not a regular file"):
        open_bundle(folder)


def test_an_endless_device_is_not_read(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to("/dev/zero")
    with pytest.raises(BundleError, match=r"weights\.bin: leads out"):
        open_bundle(folder)


def test_links_in_a_circle_are_refused(folder: Path) -> None:
    (folder / "weights.bin").unlink()
    (folder / "weights.bin").symlink_to("weights.bin")
    with pytest.raises(BundleError, match=r"weights\.bin: cannot be read"):
        open_bundle(folder)


@pytest.mark.parametrize("name", ["two\nlines", "\udc80", "x" * 201], ids=["a line break", "no UTF-8", "very long"])
def test_a_folder_whose_name_no_request_could_give_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(BundleError, match="cannot be a model's name"):
        open_bundle(folder.rename(folder.parent / name))


def test_a_manifest_cannot_be_changed_by_accident(folder: Path) -> None:
    manifest: Manifest = read_manifest(folder)
    with pytest.raises(AttributeError):
        manifest.task = "qa"  # type: ignore[misc]


def test_a_files_hash_is_the_sha256_of_its_contents(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"abc")
    # FIPS 180-2, appendix B.1.
    assert file_sha256(path) == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
