"""Bundles on disk, with real graphs and a real vocabulary, from their files to answers over HTTP."""

from dataclasses import replace
from pathlib import Path

import httpx
import onnx
import pytest
from onnx import TensorProto, helper

from bigbird_inference.bundle import read_manifest, write_manifest
from bigbird_inference.bundle_files import file_sha256
from bigbird_inference.errors import BundleError
from bigbird_inference.manifest import HashedFile, KnownAnswer, KnownOutput, KnownRun, Tensor, TokenizerFile
from service.app import create_app
from service.models.loading import load_models
from service.settings import Settings
from tests.fake_model import fake_graph, fake_manifest
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app
from tests.vocabularies import open_tokenizer

LENGTHS = (16, 32)
TEXT = "Alice Smith leads the Acme project in New York since March 2024. The budget of project Borealis is 2.5 million."


def write_graph(path: Path, task: str) -> None:
    """Write a graph: for each token, its id as one value and 0 as the other; for classification, their sums."""
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", "length"])
        for name in ("input_ids", "attention_mask")
    ]
    shape = ["batch", 2] if task == "classify" else ["batch", "length", 2]
    output = helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)
    constants = [
        helper.make_tensor("last_axis", TensorProto.INT64, [1], [2]),
        helper.make_tensor("length_axis", TensorProto.INT64, [1], [1]),
    ]
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["masked"]),
        helper.make_node("Sub", ["masked", "masked"], ["zeros"]),
        helper.make_node("Unsqueeze", ["masked", "last_axis"], ["first"]),
        helper.make_node("Unsqueeze", ["zeros", "last_axis"], ["second"]),
        helper.make_node("Concat", ["second", "first"], ["both"], axis=2),
        helper.make_node("Cast", ["both"], ["tokens" if task == "classify" else "logits"], to=TensorProto.FLOAT),
    ]
    if task == "classify":
        nodes.append(helper.make_node("ReduceSum", ["tokens", "length_axis"], ["logits"], keepdims=0))
    graph = helper.make_graph(nodes, "graph", inputs, [output], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)


def write_bundle(folder: Path, task: str, vocabulary: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "tokenizer.model").write_bytes(vocabulary.read_bytes())
    (folder / "weights.bin").write_bytes(b"")
    graph = folder / "graph-full.onnx"
    write_graph(graph, task)
    shape: list[int | str] = ["batch", 2] if task == "classify" else ["batch", "length", 2]
    tokenizer = folder / "tokenizer.model"
    manifest = replace(
        fake_manifest(task, LENGTHS),
        tokenizer=TokenizerFile(
            tokenizer.name,
            tokenizer.stat().st_size,
            file_sha256(tokenizer),
            cls_id=1,
            sep_id=2,
            pad_id=0,
            mask_id=3,
            eos_id=None,
        ),
        weights=HashedFile("weights.bin", 0, file_sha256(folder / "weights.bin")),
        outputs=[Tensor("logits", "float32", shape)],
        graphs=[replace(fake_graph(max(LENGTHS)), bytes=graph.stat().st_size, sha256=file_sha256(graph))],
    )
    write_manifest(manifest, folder)


@pytest.fixture
def bundles(tmp_path: Path, control_vocabulary: Path) -> Path:
    for task in ("qa", "classify", "ner"):
        write_bundle(tmp_path / task, task, control_vocabulary)
    return tmp_path


@asynchronous
async def test_every_bundle_of_a_folder_is_loaded_and_answers(bundles: Path) -> None:
    async with running_app(load_models(Settings(models=bundles, threads=1))) as (_, client):
        answer = (await client.post("/qa", json={"question": "Who leads?", "context": TEXT})).json()
        label = (await client.post("/classify", json={"text": TEXT})).json()
        entities = (await client.post("/ner", json={"text": TEXT})).json()
    assert answer["answer"] == TEXT[answer["start"] : answer["end"]] != ""
    assert label["label"] == "report"
    assert entities["entities"]
    assert all(TEXT[entity["start"] : entity["end"]] == entity["text"] for entity in entities["entities"])
    for body in (answer, label, entities):
        assert body["usage"]["windows"] == len(body["usage"]["buckets"]) > 1
        assert set(body["usage"]["buckets"]) <= set(LENGTHS)


@asynchronous
async def test_a_question_that_fills_the_window_is_invalid(bundles: Path) -> None:
    async with running_app(load_models(Settings(models=bundles, threads=1))) as (_, client):
        response = await client.post("/qa", json={"question": TEXT, "context": TEXT})
    assert response.status_code == 422
    assert response.json()["code"] == "invalid_input"
    assert "question" in response.json()["detail"]


@pytest.mark.parametrize("file", ["graph-full.onnx", "weights.bin", "tokenizer.model"])
def test_a_changed_file_stops_the_start_by_name(bundles: Path, file: str) -> None:
    with (bundles / "qa" / file).open("ab") as stream:
        stream.write(b"x")
    with pytest.raises(BundleError, match="qa/" + file.replace(".", r"\.")):
        load_models(Settings(models=bundles, threads=1))


@asynchronous
async def test_the_others_are_served_if_failed_models_are_allowed(bundles: Path) -> None:
    """One with a changed file, and one that does not give its known answer."""
    (bundles / "qa" / "weights.bin").write_bytes(b"x")
    manifest = read_manifest(bundles / "ner")
    ids = open_tokenizer(bundles / "ner" / "tokenizer.model").tokenize("a").ids.tolist()
    known = KnownAnswer("a", ids, [KnownRun(3, LENGTHS[0], [KnownOutput("logits", [9.0, 9.0, 9.0], 9.0, 9.0)], 1e-4)])
    write_manifest(replace(manifest, known_answer=known), bundles / "ner")
    settings = Settings(models=bundles, threads=1, warm_up_seconds=0, allow_failed_models=True)
    app = create_app(settings)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await app.state.serving.warmed()
        assert (await client.post("/classify", json={"text": TEXT})).status_code == 200
        assert (await client.post("/ner", json={"text": TEXT})).status_code == 404
        ready = await client.get("/health/ready")
        states = {state["name"]: state for state in (await client.get("/v1/models")).json()["states"]}
        metrics = (await client.get("/metrics")).text
    assert ready.status_code == 200
    assert ready.json()["degraded"] == "not served, because they failed: ner, qa; see /v1/models"
    assert {name: state["state"] for name, state in states.items()} == {
        "classify": "ready",
        "ner": "failed",
        "qa": "failed",
    }
    assert states["qa"]["failure"].startswith("qa/weights.bin: ")
    assert "known answer" in states["ner"]["failure"]
    assert 'bigbird_model_state{model="qa",state="failed"} 1.0' in metrics
    assert 'bigbird_model_change_failed{model="qa"} 1.0' in metrics


def test_a_start_without_any_model_fails_whatever_is_allowed(bundles: Path) -> None:
    for name in ("qa", "classify", "ner"):
        (bundles / name / "weights.bin").write_bytes(b"x")
    with pytest.raises(BundleError, match=r"weights\.bin"):
        load_models(Settings(models=bundles, threads=1, allow_failed_models=True))
