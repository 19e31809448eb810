"""A BERT sentence encoder, exported and served: the vectors of sentence-transformers' recipe on transformers' model."""

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import torch
import transformers

from benchmarks.running_server import RunningServer, running_server
from bigbird_inference.bundle import read_manifest
from model_export.pipeline import export_checkpoint
from model_export.preparation import ExportOptions
from model_export.reverify import verify_bundle
from tests.model_export.bert_models import OWN_POSITIONS, make_bert, save_bert

POSITIONS = 256


@pytest.fixture(scope="module")
def bert() -> transformers.PreTrainedModel:
    return make_bert()


@pytest.fixture(scope="module")
def folder(bert: transformers.PreTrainedModel, tmp_path_factory: pytest.TempPathFactory, shared_traces: None) -> Path:
    """The checkpoint, and its bundle in `bundles`."""
    folder = tmp_path_factory.mktemp("bert")
    save_bert(bert, folder / "checkpoint")
    (folder / "checkpoint" / "1_Pooling").mkdir()
    (folder / "checkpoint" / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode": "mean"}))
    options = ExportOptions(positions=POSITIONS, buckets=[64, 128, POSITIONS])
    export_checkpoint(folder / "checkpoint", folder / "bundles" / "real", options)
    return folder


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[RunningServer]:
    with running_server(
        folder / "bundles", {"BIGBIRD_CPU_RUNTIME": "onnxruntime", "BIGBIRD_WARM_UP_SECONDS": "0"}
    ) as running:
        yield running


@pytest.mark.parametrize("words", [1, 5, 20])
def test_an_embedding_is_the_mean_of_berts_states_scaled_to_length_1(
    bert: transformers.PreTrainedModel, folder: Path, server: RunningServer, words: int
) -> None:
    text = " ".join((["Alice", "Smith", "leads", "the", "Acme", "project,", "café", "in", "New York."] * 3)[:words])
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder / "checkpoint")
    inputs = tokenizer(text, return_tensors="pt")
    assert inputs["input_ids"].shape[1] <= OWN_POSITIONS
    with torch.inference_mode():
        expected = torch.nn.functional.normalize(bert(**inputs).last_hidden_state.mean(dim=1))[0]
    answer = httpx.post(f"{server.url}/embed", json={"text": text}).json()
    assert answer["embedding"] == pytest.approx(expected.tolist(), abs=1e-4)


def test_a_text_longer_than_the_bert_is_one_window(server: RunningServer) -> None:
    answer = httpx.post(f"{server.url}/embed", json={"text": "Alice leads. " * 40}).json()
    assert answer["usage"]["windows"] == 1
    assert OWN_POSITIONS < answer["usage"]["tokens"] <= POSITIONS


def test_the_manifest_says_what_it_was_made_of(folder: Path) -> None:
    manifest = read_manifest(folder / "bundles" / "real")
    assert (manifest.format_version, manifest.task, manifest.pattern, manifest.pooling) == (2, "embed", "none", "mean")
    assert (manifest.source.kind, manifest.source.positions) == ("bert, safetensors", POSITIONS)
    assert manifest.source.changes[0].startswith(
        "a BigBird is made of a BERT encoder: its 96 positions repeated 2 times"
    )
    assert manifest.model["hidden_act"] == "gelu" and manifest.model["layer_norm_eps"] == 1e-12  # type: ignore[typeddict-item]


def test_the_bundle_can_be_compared_with_its_checkpoint_again(folder: Path) -> None:
    buckets = verify_bundle(folder / "bundles" / "real", folder / "checkpoint")
    assert [bucket.length for bucket in buckets] == [64, 128, POSITIONS]
