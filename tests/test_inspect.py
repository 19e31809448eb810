"""`bigbird inspect`: the report, the manifest as JSON, and the checks of hashes and numbers."""

import copy
import hashlib
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from bigbird_cli.main import main
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from tests.model_export.exported_models import save_model
from tests.model_export.reference_models import small_model

FILES = {
    "weights.bin": bytes(3_000_000),
    "tokenizer.model": bytes(5_120),
    "graph-full.onnx": b"a graph",
    "graph-block_sparse.onnx": b"another graph",
}


def hashed(file: str) -> dict[str, Any]:
    return {"file": file, "bytes": len(FILES[file]), "sha256": hashlib.sha256(FILES[file]).hexdigest()}


def parity(documents: list[int], kernel: str = "composed") -> dict[str, Any]:
    return {
        "attention_kernel": kernel,
        "max_abs_difference": 1.24e-6,
        "mean_abs_difference": 3.1e-7,
        "logits_std": 0.631,
        "correlation": 0.99996,
        "agreement": 1.0,
        "tolerance": 1e-4,
        "documents": documents,
        "checked_with": "onnxruntime",
    }


def bucket(length: int, attention: str, memory: int | None, measured: bool, documents: list[int]) -> dict[str, Any]:
    return {
        "length": length,
        "attention": attention,
        "parity": [parity(documents)],
        "peak_memory_bytes": memory,
        "peak_memory_measured": measured,
    }


def graph(attention: str, shortest: int, longest: int, step: int) -> dict[str, Any]:
    range_of_lengths = {"shortest": shortest, "longest": longest, "step": step}
    return {
        **hashed(f"graph-{attention}.onnx"),
        "attention": attention,
        "attention_kernel": "composed",
        **range_of_lengths,
    }


MANIFEST: dict[str, Any] = {
    "format_version": 2,
    "task": "ner",
    "labels": ["O", "B-PER", "I-PER"],
    "problem_type": None,
    "pattern": "google",
    "precision": "fp32",
    "pair_types": "segments",
    "block_size": 64,
    "max_length": 4096,
    "max_batch_items": None,
    "tokenizer": {
        **hashed("tokenizer.model"),
        "cls_id": 65,
        "sep_id": 66,
        "pad_id": 0,
        "mask_id": 67,
        "eos_id": None,
        "further_eos_ids": [],
        "kind": "sentencepiece",
        "mask_lstrip": True,
        "added_tokens": [],
        "token_types": "segments",
    },
    "weights": hashed("weights.bin"),
    "inputs": [
        {"name": name, "dtype": "int64", "shape": ["batch", "length"]}
        for name in ("input_ids", "attention_mask", "token_type_ids")
    ],
    "outputs": [{"name": "logits", "dtype": "float32", "shape": ["batch", "length", 3]}],
    "graphs": [graph("full", 1, 704, 1), graph("block_sparse", 768, 4096, 64)],
    "buckets": [
        bucket(704, "full", None, False, [1, 351, 353, 704]),
        bucket(2048, "block_sparse", 750_000_000, False, [2048]),
        bucket(4096, "block_sparse", 1_500_000_000, True, [705, 2367, 2369, 4096]),
    ],
    "source": {
        "name": "bigbr_base",
        "kind": "google-research",
        "sha256": "0123456789abcdef" * 4,
        "assumptions": ["num_attention_heads: 12 (hidden_size / 64)"],
        "note": None,
        "changes": ["the prefix module. is taken off every name"],
        "ignore_weights": [],
        "base": None,
        "positions": None,
    },
    "model": {
        "attention_type": "block_sparse",
        "hidden_size": 768,
        "num_attention_heads": 12,
        "num_hidden_layers": 12,
        "num_random_blocks": 3,
        "type_vocab_size": 2,
        "vocab_size": 50358,
    },
    "versions": {"bigbird-serve": "0.1.0", "torch": "2.13.0"},
    "known_answer": {
        "text": "Zoë pays 3 €.",
        "token_ids": [5, 9, 7],
        "runs": [
            {
                "length": 354,
                "bucket": 704,
                "expected": [{"output": "logits", "values": [0.5], "mean": 0.5, "std": 0.0}],
                "tolerance": 1.04e-3,
            },
            {
                "length": 3073,
                "bucket": 4096,
                "expected": [{"output": "logits", "values": [0.25, -1.5], "mean": 0.125, "std": 0.75}],
                "tolerance": 1.04e-3,
            },
        ],
    },
    "cpu_runs": [],
    "pooling": None,
}

REPORT = """\
entities: ner, fp32, revision {revision}

  source      bigbr_base (google-research), sha256 0123456789ab
  assumed     num_attention_heads: 12 (hidden_size / 64)
  changed     the prefix module. is taken off every name
  model       12 layers, hidden size 768, 12 heads, vocabulary 50358
  attention   block_sparse, blocks of 64, 3 random blocks, pattern google
  length      up to 4096 tokens; token types of pairs: segments
  labels      3: O, B-PER, I-PER
  tokenizer   SentencePiece; ids: CLS 65, SEP 66, padding 0, mask 67, end of text none
  inputs      input_ids int64 [batch, length], attention_mask int64 [batch, length],
              token_type_ids int64 [batch, length]
  outputs     logits float32 [batch, length, 3]
  self-test   354 tokens in bucket 704 (to 0.001), 3073 tokens in bucket 4096 (to 0.001)
  on a GPU    iobinding, cuda_graphs can be tried, which `bigbird doctor` does; not fused_attention:
              the bundle has composed graphs only; export the checkpoint with --precision fp16

  bucket  attention         max     mean   std   corr.   same      memory  lengths compared
     704  full          1.2e-06  3.1e-07  0.63  1.0000  1.000     unknown  1 351 353 704
    2048  block_sparse  1.2e-06  3.1e-07  0.63  1.0000  1.000  ~715.3 MiB  2048
    4096  block_sparse  1.2e-06  3.1e-07  0.63  1.0000  1.000     1.4 GiB  705 2367 2369 4096
  max, mean: differences of the outputs from torch in fp32, each document alone; allowed: 1.0e-04;
  std: of torch's outputs; corr.: correlation with them; same: share of equal decisions; memory of
  one document, ~ in proportion to the longest; lengths in tokens

  file                        size
  weights.bin              2.9 MiB
  tokenizer.model          5.0 KiB
  graph-full.onnx              7 B
  graph-block_sparse.onnx     13 B
  manifest.json            {manifest}
  total                    2.9 MiB

  versions    bigbird-serve 0.1.0, torch 2.13.0
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "entities"
    folder.mkdir()
    for file, content in FILES.items():
        (folder / file).write_bytes(content)
    (folder / "manifest.json").write_text(json.dumps(MANIFEST), encoding="utf-8")
    return folder


def run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(main, ["inspect", *map(str, arguments)])
    return result.exit_code, result.stdout, result.stderr


def test_the_report_shows_everything_at_a_hundred_columns(folder: Path) -> None:
    status, printed, errors = run(folder)
    size = f"{(folder / 'manifest.json').stat().st_size / 1024:.1f} KiB"
    assert (status, errors) == (0, "")
    revision = hashlib.sha256((folder / "manifest.json").read_bytes()).hexdigest()[:12]
    assert printed == REPORT.format(manifest=size, revision=revision)
    assert max(map(len, printed.splitlines())) <= 100


def test_each_of_several_ends_of_a_text_is_shown(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST)
    values["tokenizer"] |= {"eos_id": 7, "further_eos_ids": [9, 11]}
    (folder / "manifest.json").write_text(json.dumps(values))
    assert ", end of text 7 or 9 or 11\n" in run(folder)[1]


def test_half_precision_graphs_that_no_gpu_has_run_are_told_apart(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST) | {"precision": "fp16"}
    for entry in values["graphs"]:
        entry["attention_kernel"] = "fused"
    for entry in values["buckets"]:
        entry["parity"] = [parity([705], "fused") | {"checked_with": "torch"}]
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    _, printed, _ = run(folder)
    assert max(map(len, printed.splitlines())) <= 100
    assert printed.startswith("entities: ner, fp16, revision ")
    assert "3 random blocks, pattern google, fused kernel" in " ".join(printed.split())
    assert "measured of the half-precision torch model, for want of a GPU" in " ".join(printed.split())


def test_each_kernel_has_a_line_of_its_own_where_there_are_both(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST) | {"precision": "fp16"}
    for entry in list(values["graphs"]):
        values["graphs"].append({**entry, "file": f"{entry['file']}-fused", "attention_kernel": "fused"})
    for entry in values["buckets"]:
        documents = [705, 2367, 2369, 4096]
        entry["parity"] = [parity(documents), parity(documents, "fused") | {"max_abs_difference": 2.5e-3}]
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    _, printed, _ = run(folder)
    assert max(map(len, printed.splitlines())) <= 100
    assert "pattern google, with and without fused kernel" in " ".join(printed.split())
    lines = [line.split()[:4] for line in printed.splitlines() if "2367" in line]
    assert lines == [
        ["704", "full", "1.2e-06", "3.1e-07"],
        ["704", "full,", "fused", "2.5e-03"],
        ["2048", "block_sparse", "1.2e-06", "3.1e-07"],
        ["2048", "block_sparse,", "fused", "2.5e-03"],
        ["4096", "block_sparse", "1.2e-06", "3.1e-07"],
        ["4096", "block_sparse,", "fused", "2.5e-03"],
    ]


def test_a_bundle_of_an_earlier_format_is_refused_with_what_to_do(folder: Path) -> None:
    (folder / "manifest.json").write_text(json.dumps(MANIFEST | {"format_version": 1}), encoding="utf-8")
    assert run(folder) == (
        1,
        "",
        f"Error: {folder / 'manifest.json'}: format_version is 1; this version reads 2: export the checkpoint again "
        "with `bigbird export`\n",
    )


def test_many_labels_are_wrapped(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST)
    values["labels"] = [f"B-KIND-{number}" for number in range(60)]
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    _, printed, _ = run(folder)
    assert max(map(len, printed.splitlines())) <= 100
    assert "  labels      60: B-KIND-0, B-KIND-1," in printed
    assert printed.split("tokenizer")[0].rstrip().endswith("B-KIND-59")


def test_what_was_measured_in_other_runtimes_is_said(folder: Path) -> None:
    values = copy.deepcopy(MANIFEST)
    run_in_bfloat16 = {
        "runtime": "openvino",
        "precision": "bf16",
        "version": "2026.4.1",
        "known_runs": [],
        "graphs": [],
    }
    values["cpu_runs"] = [{**run_in_bfloat16, "buckets": copy.deepcopy(values["buckets"])}]
    for bucket in values["cpu_runs"][0]["buckets"]:
        for parity in bucket["parity"]:
            parity |= {"max_abs_difference": 0.25, "logits_std": 0.5, "agreement": 0.75, "checked_with": "openvino"}
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    _, printed, _ = run(folder)
    line = "OpenVINO 2026.4.1 in bf16: largest difference 0.5 standard deviations, 75.0% of decisions the same"
    assert line in " ".join(printed.split())


def test_json_is_the_manifest(folder: Path) -> None:
    status, printed, errors = run(folder, "--json")
    assert (status, errors) == (0, "")
    assert json.loads(printed) == MANIFEST


def test_json_stays_json_when_it_is_checked_too(folder: Path) -> None:
    status, printed, errors = run(folder, "--json", "--check")
    assert status == 0
    assert json.loads(printed) == MANIFEST
    assert "4 files match their hashes" in errors


def test_a_check_of_unchanged_files_says_how_many(folder: Path) -> None:
    status, printed, _ = run(folder, "--check")
    assert status == 0
    assert printed.endswith("\n  checked     4 files match their hashes\n")


def test_the_pooling_of_an_encoder_is_told(folder: Path) -> None:
    assert "\n  pooling " not in run(folder)[1]
    values = copy.deepcopy(MANIFEST) | {"pooling": "cls"}
    (folder / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    assert "\n  pooling     cls\n" in run(folder)[1]


@pytest.mark.parametrize("file", FILES)
def test_a_changed_file_fails_the_check_in_one_line_that_names_it(file: str, folder: Path) -> None:
    (folder / file).write_bytes(FILES[file][:-1] + b"\1")
    assert run(folder)[0] == 0
    assert run(folder, "--check") == (
        1,
        "",
        f"Error: {folder / file}: its contents do not match the hash in manifest.json\n",
    )


def test_a_missing_file_fails_the_check_and_is_shown_in_the_report(folder: Path) -> None:
    (folder / "graph-full.onnx").unlink()
    (folder / "tokenizer.model").write_bytes(b"short")
    status, printed, errors = run(folder, "--check")
    assert (status, printed) == (1, "")
    assert errors.count("\n") == 1
    _, printed, _ = run(folder)
    assert "graph-full.onnx              7 B  missing\n" in printed
    assert "tokenizer.model          5.0 KiB  has 5 bytes, not 5120\n" in printed


@pytest.mark.parametrize("options", [[], ["--json"], ["--check"]])
def test_an_unreadable_manifest_is_told_in_one_line(options: list[str], folder: Path) -> None:
    (folder / "manifest.json").write_text("{", encoding="utf-8")
    status, printed, errors = run(folder, *options)
    assert (status, printed) == (1, "")
    assert errors.startswith(f"Error: {folder / 'manifest.json'}: ")
    assert errors.count("\n") == 1


def test_a_checkpoint_without_check_is_a_mistake(folder: Path) -> None:
    status, _, errors = run(folder, "--checkpoint", folder)
    assert status == 2
    assert "--checkpoint needs --check" in errors


def test_nothing_but_the_check_against_a_checkpoint_imports_torch(folder: Path) -> None:
    script = (
        "import sys; from click.testing import CliRunner; from bigbird_cli.main import main\n"
        f"result = CliRunner().invoke(main, ['inspect', {str(folder)!r}, '--check'])\n"
        "print(result.exit_code, [name for name in ('torch', 'onnx', 'onnxruntime') if name in sys.modules])"
    )
    root = Path(__file__).resolve().parents[1]
    printed = subprocess.run([sys.executable, "-c", script], cwd=root, capture_output=True, text=True, check=True)
    assert printed.stdout.strip() == "0 []"


def test_without_torch_the_message_says_what_to_install(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "model_export.reverify", raising=False)
    monkeypatch.setitem(sys.modules, "torch", None)
    for name in [name for name in sys.modules if name.startswith("model_export.")]:
        monkeypatch.delitem(sys.modules, name)
    status, printed, errors = run(folder, "--check", "--checkpoint", folder)
    assert (status, printed) == (1, "")
    assert errors == (
        "Error: --checkpoint needs the package 'torch', which is not installed: "
        f"pip install '{Path(__file__).resolve().parents[1]}[export,cpu]'\n"
    )


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory, shared_traces: None) -> tuple[Path, Path]:
    """A small checkpoint and its bundle."""
    folder = tmp_path_factory.mktemp("exported")
    checkpoint = save_model(small_model(), folder / "checkpoint")
    export_checkpoint(checkpoint, folder / "bundle", ExportOptions(buckets=(112, 160)))
    return checkpoint, folder / "bundle"


def test_every_bucket_is_compared_with_torch_again(exported: tuple[Path, Path]) -> None:
    checkpoint, bundle = exported
    status, printed, _ = run(bundle, "--check", "--checkpoint", checkpoint)
    assert status == 0
    outcome = printed.split("checked")[1].splitlines()
    assert [line.split(":")[0].split()[-2:] for line in outcome[1:]] == [["bucket", "112"], ["bucket", "160"]]
    assert "files match their hashes" in outcome[0]


def test_a_bundle_whose_numbers_changed_is_refused_by_its_bucket(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, bundle = exported
    # Every hash is right, and yet the numbers are not the checkpoint's.
    changed = tmp_path / "bundle"
    changed.mkdir()
    for file in bundle.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    weights = bytearray((bundle / "weights.bin").read_bytes())
    middle = len(weights) // 2
    weights[middle : middle + 4096] = bytes(4096)
    (changed / "weights.bin").write_bytes(weights)
    values = json.loads((changed / "manifest.json").read_text(encoding="utf-8"))
    values["weights"]["sha256"] = hashlib.sha256(weights).hexdigest()
    (changed / "manifest.json").write_text(json.dumps(values), encoding="utf-8")
    assert run(changed, "--check")[0] == 0
    status, printed, errors = run(changed, "--check", "--checkpoint", checkpoint)
    assert (status, printed) == (1, "")
    assert errors.splitlines()[-1].startswith("Error: bucket 112: outputs differ from torch by ")


def test_another_checkpoint_is_refused(exported: tuple[Path, Path], tmp_path: Path) -> None:
    _, bundle = exported
    other = save_model(small_model(seed=1), tmp_path / "other")
    status, printed, errors = run(bundle, "--check", "--checkpoint", other)
    assert (status, printed) == (1, "")
    assert errors.startswith(f"Error: {other}: is not the checkpoint of this bundle")
    assert errors.count("\n") == 1


def test_a_changed_file_is_named_before_any_number_is_compared(exported: tuple[Path, Path], tmp_path: Path) -> None:
    checkpoint, bundle = exported
    changed = tmp_path / "bundle"
    changed.mkdir()
    for file in bundle.iterdir():
        (changed / file.name).write_bytes(file.read_bytes())
    (changed / "graph.onnx").write_bytes(b"no graph")
    status, _, errors = run(changed, "--check", "--checkpoint", checkpoint)
    assert status == 1
    size = (bundle / "graph.onnx").stat().st_size
    named = f"{changed / 'graph.onnx'}: its contents do not match the hash in manifest.json"
    assert errors == f"Error: {named}: it has 8 bytes, expected {size}\n"
