"""Bundles whose graphs do what no model does, at a start and beside what is served, with real graphs and files."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest
from onnx import helper
from pydantic import SecretStr

from bigbird_inference import trial
from service.app import create_app
from service.security.access import key_line
from service.settings import Settings
from tests.bigbird_inference.runtime.test_external_data import external
from tests.hostile_bundles import endless, hungry, one_for_each_token, sums, write_bundle
from tests.service.asynchronous import asynchronous

# A second of a core would be enough for these graphs; the real limits take half a minute to reach.
SECONDS = 3
MEMORY_BYTES = 100 * 2**20
ADMIN = {"Authorization": "Bearer the-admin-key"}
TEXT = {"text": "Alice Smith leads the Acme project."}


@pytest.fixture
def low_limits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "_SECONDS", SECONDS)
    monkeypatch.setattr(trial, "_MEMORY_BYTES", MEMORY_BYTES)


def start(models: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Start a server that should not become ready; return when it has ended."""
    program = f"""
import sys
from bigbird_inference import trial
from service.process.server import serve
from service.settings import load_settings
trial._SECONDS, trial._MEMORY_BYTES = {SECONDS}, {MEMORY_BYTES}
sys.exit(serve(load_settings()))
"""
    environment = {f"BIGBIRD_{name.upper()}": value for name, value in settings.items()}
    environment |= {"BIGBIRD_MODELS": str(models), "BIGBIRD_PORT": "0", "BIGBIRD_THREADS": "1", "BIGBIRD_DEVICE": "cpu"}
    return subprocess.run(
        [sys.executable, "-c", program],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


@pytest.mark.parametrize(
    ("nodes", "said"),
    [
        pytest.param(endless, "have not ended after 3 s of processor time", id="a loop of 2^62 trips"),
        pytest.param(hungry, "take more than 0.4 GB of memory", id="12 GB"),
        pytest.param(one_for_each_token, r"gives logits of the shape [1, 16]", id="another number of labels"),
    ],
)
def test_a_start_ends_with_status_1_and_one_line(
    tmp_path: Path, control_vocabulary: Path, nodes: Callable[[], list[Any]], said: str
) -> None:
    outputs = "open" if nodes is one_for_each_token else 2
    write_bundle(tmp_path / "reports", nodes(), control_vocabulary, outputs=outputs)
    ended = start(tmp_path)
    assert ended.returncode == 1, ended.stderr
    assert said in ended.stderr.splitlines()[-1]
    assert "Traceback" not in ended.stderr


def _labels(folder: Path, vocabulary: Path) -> None:
    write_bundle(folder, sums(), vocabulary, labels=[str(number) for number in range(1000)])


def _a_label_twice(folder: Path, vocabulary: Path) -> None:
    write_bundle(folder, sums(), vocabulary, labels=["report", "report"])


def _no_room_for_a_token(folder: Path, vocabulary: Path) -> None:
    write_bundle(folder, sums(), vocabulary, max_length=1)


def _an_unlisted_file(folder: Path, vocabulary: Path) -> None:
    nodes = sums()
    nodes[-1].output[0] = "plain"
    nodes.append(helper.make_node("Add", ["plain", "table"], ["logits"]))
    write_bundle(folder, nodes, vocabulary, constants={"table": external("extra2.bin")})
    (folder / "extra2.bin").write_bytes(bytes(8))


@pytest.mark.parametrize(
    ("write", "said"),
    [
        pytest.param(lambda *at: write_bundle(at[0], endless(), at[1]), "have not ended", id="a loop of 2^62 trips"),
        pytest.param(lambda *at: write_bundle(at[0], hungry(), at[1]), "of memory", id="12 GB"),
        pytest.param(_labels, "classify with 1000 labels needs", id="a thousand labels over two outputs"),
        pytest.param(_a_label_twice, "labels: 'report' is given twice", id="a label twice"),
        pytest.param(_no_room_for_a_token, "max_length: ", id="no room for a token"),
        pytest.param(_an_unlisted_file, "takes tensors from 'extra2.bin'", id="a file that no hash covers"),
    ],
)
@pytest.mark.usefixtures("low_limits")
@asynchronous
async def test_a_reload_is_refused_and_the_old_version_serves_on(
    tmp_path: Path, control_vocabulary: Path, write: Callable[[Path, Path], object], said: str
) -> None:
    write_bundle(tmp_path / "reports", sums(), control_vocabulary)
    key = SecretStr(key_line("operator", "the-admin-key"))
    app = create_app(Settings(models=tmp_path, threads=1, warm_up_seconds=0, device="cpu", admin_key=key))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await app.state.serving.warmed()
        before = (await client.post("/classify", json=TEXT)).json()["label"]
        # As it is replaced in place: the new bundle takes the name of the folder.
        (tmp_path / "reports").rename(tmp_path / ".old")
        write(tmp_path / "reports", control_vocabulary)
        refused = await client.post("/v1/models/reports/reload", headers=ADMIN)
        assert (refused.status_code, refused.json()["code"]) == (422, "model_rejected"), refused.text
        assert said in refused.json()["detail"] and str(tmp_path) not in refused.text
        assert (await client.post("/classify", json=TEXT)).json()["label"] == before
        assert (await client.get("/health/ready")).status_code == 200


@pytest.mark.usefixtures("low_limits")
@asynchronous
async def test_where_failed_models_are_allowed_the_others_are_served(tmp_path: Path, control_vocabulary: Path) -> None:
    write_bundle(tmp_path / "good", sums(), control_vocabulary)
    write_bundle(tmp_path / "endless", endless(), control_vocabulary)
    app = create_app(Settings(models=tmp_path, threads=1, warm_up_seconds=0, device="cpu", allow_failed_models=True))
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://localhost") as client,
    ):
        await app.state.serving.warmed()
        assert (await client.post("/classify", json=TEXT)).status_code == 200
        states = {state["name"]: state for state in (await client.get("/v1/models")).json()["states"]}
    assert (states["good"]["state"], states["endless"]["state"]) == ("ready", "failed")
    assert states["endless"]["failure"].startswith("endless: its graphs have not ended after 3 s")
