"""A bundle whose files are replaced, removed or written into while it is served, on real files and a real graph."""

import asyncio
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import numpy as np
import pytest
from onnx import TensorProto, helper

from bigbird_inference.bundle_files import FileState, check_file
from bigbird_inference.errors import BundleError
from bigbird_inference.runtime.onnx_session import open_session
from bigbird_inference.runtime.session import Batch
from service import serving as serving_module
from tests.fake_model import fake_loaded_model, fake_manifest
from tests.service.asynchronous import asynchronous
from tests.service.running_app import running_app

# A table of 1,000 rows is longer than a page of memory.
ROWS, LENGTH = 1000, 8
MANIFEST = fake_manifest("classify", (LENGTH,))


def write_graph(folder: Path, location: str) -> Path:
    """Write a graph whose logits are the sum of the rows of a table that lies in another file."""
    table = helper.make_tensor("table", TensorProto.FLOAT, [ROWS, 2], bytes(ROWS * 8), raw=True)
    table.ClearField("raw_data")
    table.data_location = TensorProto.EXTERNAL
    for key, value in (("location", location), ("offset", "0"), ("length", str(ROWS * 8))):
        entry = table.external_data.add()
        entry.key, entry.value = key, value
    axis = helper.make_tensor("axis", TensorProto.INT64, [1], [1])
    nodes = [
        helper.make_node("Mul", ["input_ids", "attention_mask"], ["ids"]),
        helper.make_node("Gather", ["table", "ids"], ["rows"]),
        helper.make_node("ReduceSum", ["rows", "axis"], ["logits"], keepdims=0),
    ]
    inputs = [
        helper.make_tensor_value_info(name, TensorProto.INT64, ["batch", LENGTH])
        for name in ("input_ids", "attention_mask")
    ]
    outputs = [helper.make_tensor_value_info("logits", TensorProto.FLOAT, ["batch", 2])]
    graph = helper.make_graph(nodes, "graph", inputs, outputs, [table, axis])
    path = folder / "graph.onnx"
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    path.write_bytes(model.SerializeToString())
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "bundle"
    folder.mkdir()
    np.arange(ROWS * 2, dtype=np.float32).reshape(ROWS, 2).tofile(folder / "weights.bin")
    write_graph(folder, "weights.bin")
    return folder


def batch() -> Batch:
    ids = np.full((1, LENGTH), 999, dtype=np.int64)
    return Batch(ids, np.ones_like(ids), np.zeros_like(ids))


# 8 times the last row, 1998 and 1999.
RIGHT = [[15984.0, 15992.0]]


def _remove(weights: Path) -> None:
    weights.unlink()


def _replace(weights: Path) -> None:
    weights.with_name("new").write_bytes(bytes(ROWS * 8))
    weights.with_name("new").rename(weights)


def _remove_the_folder(weights: Path) -> None:
    weights.unlink()
    weights.with_name("graph.onnx").unlink()
    weights.parent.rmdir()


@pytest.mark.parametrize("change", [_remove, _replace, _remove_the_folder], ids=lambda change: change.__name__)
def test_a_served_model_outlives_its_files(folder: Path, change: Callable[[Path], None]) -> None:
    session = open_session(folder / "graph.onnx", MANIFEST, device="cpu", threads=1)
    change(folder / "weights.bin")
    assert session.run(batch())["logits"].tolist() == RIGHT


def test_writing_into_mapped_weights_changes_answers() -> None:
    """Why there is a watch at all, and why docs/bundle.md says that a bundle is replaced by renaming only.

    In a process of its own, for the second half ends it: a mapping beyond the end of its file cannot be read.
    """
    program = """
        import os, sys, tempfile
        from pathlib import Path
        import numpy as np
        from bigbird_inference.runtime.onnx_session import open_session
        from tests.service.models.test_changed_bundles import MANIFEST, ROWS, RIGHT, batch, write_graph

        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            np.arange(ROWS * 2, dtype=np.float32).tofile(folder / "weights.bin")
            session = open_session(write_graph(folder, "weights.bin"), MANIFEST, device="cpu", threads=1)
            assert session.run(batch())["logits"].tolist() == RIGHT
            with (folder / "weights.bin").open("r+b") as stream:
                stream.write(bytes(ROWS * 8))
            print(session.run(batch())["logits"].tolist(), flush=True)
            os.truncate(folder / "weights.bin", 0)
            session.run(batch())
    """
    ended = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, check=False
    )
    assert ended.stdout == "[[0.0, 0.0]]\n", ended.stderr
    assert ended.returncode < 0  # SIGBUS


@pytest.mark.parametrize(
    "location",
    [
        pytest.param("../outside.bin", id="in the folder above"),
        pytest.param("/etc/hostname", id="anywhere"),
        pytest.param("link.bin", id="behind a link out of the bundle"),
    ],
)
def test_a_graph_takes_no_weights_from_elsewhere(folder: Path, location: str) -> None:
    (folder / "weights.bin").rename(folder.parent / "outside.bin")
    (folder / "link.bin").symlink_to("../outside.bin")
    graph = write_graph(folder, location)
    with pytest.raises(BundleError, match=r"graph\.onnx: takes tensors from "):
        open_session(graph, MANIFEST, device="cpu", threads=1)


# The service that notices.


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FileState:
    monkeypatch.setattr(serving_module, "_BUNDLE_WATCH_SECONDS", 0.01)
    (tmp_path / "weights.bin").write_bytes(b"weights")
    os.utime(tmp_path / "weights.bin", (1, 1))
    # SHA-256 of "weights", from sha256sum.
    digest = "9a129038d9a00aed0cf6a7ea059ca50a813449061ab87848cf1a13eafdf33b2c"
    return check_file(tmp_path, "weights.bin", 7, digest, "manifest.json")


async def _becomes(client: httpx.AsyncClient, status: int) -> httpx.Response:
    """Return the readiness when it has that status; the test's time limit ends a wait in vain."""
    async with asyncio.timeout(20):
        while (answer := await client.get("/health/ready")).status_code != status:
            await asyncio.sleep(0.005)
    return answer


@asynchronous
async def test_a_model_whose_files_are_written_into_is_not_asked_any_more(
    file: FileState, caplog: pytest.LogCaptureFixture
) -> None:
    damaged = replace(fake_loaded_model("classify"), files=(file,))
    whole = fake_loaded_model("ner")
    async with running_app({model.name: model for model in (damaged, whole)}) as (_, client):
        await _becomes(client, 200)
        file.path.write_bytes(b"WEIGHTS")
        refused = await _becomes(client, 503)
        assert "fake-classify" in refused.json()["detail"] and str(file.path) not in refused.text
        answer = await client.post("/classify", json={"text": "one two"})
        assert (answer.status_code, answer.json()["code"]) == (503, "not_ready")
        assert (await client.post("/ner", json={"text": "one two"})).status_code == 200
        assert (await client.get("/health/live")).status_code == 200
        assert f"{file.path}: was written to while it is served" in caplog.text
        file.path.write_bytes(b"weights")
        await _becomes(client, 200)
        assert (await client.post("/classify", json={"text": "one two"})).status_code == 200


@asynchronous
async def test_a_model_whose_files_are_replaced_is_served_on(file: FileState) -> None:
    model = replace(fake_loaded_model("classify"), files=(file,))
    async with running_app({model.name: model}) as (app, client):
        file.path.with_name("new").write_bytes(b"another file")
        file.path.with_name("new").rename(file.path)
        found = await asyncio.to_thread(serving_module.BundleWatch().damaged, {"classify": model.files})
        assert found == {} and app.state.serving.ready
        assert (await client.post("/classify", json={"text": "one two"})).status_code == 200
