"""The demo checkpoints in OpenVINO: exported with its figures, and served by the real command."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from benchmarks.running_server import RunningServer, running_server
from bigbird_inference.bundle import read_manifest
from bigbird_inference.manifest import CpuPrecision
from bigbird_inference.runtime.openvino_session import computes_bfloat16
from examples.same_answer_anywhere import main as count_different_answers
from tests.cpu_runtimes import need_openvino
from tests.end_to_end.conftest import TASKS

ROOT = Path(__file__).resolve().parents[2]
REQUESTS = json.loads((ROOT / "examples" / "expected.json").read_text("utf-8"))

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def measured(bundles: Path) -> Path:
    """The bundles of the export command, which measures OpenVINO by itself."""
    need_openvino()
    for task in TASKS:
        runs = read_manifest(bundles / f"demo-{task}").cpu_runs
        assert [(run.runtime, run.precision) for run in runs] == [("openvino", "fp32"), ("openvino", "bf16")]
    return bundles


@pytest.fixture(scope="module", params=["fp32", "bf16"])
def precision(request: pytest.FixtureRequest) -> CpuPrecision:
    found: CpuPrecision = request.param
    return found


@pytest.fixture(scope="module")
def in_openvino(measured: Path, precision: CpuPrecision) -> Iterator[RunningServer]:
    environment = {
        "BIGBIRD_CPU_RUNTIME": "openvino",
        "BIGBIRD_CPU_PRECISION": precision,
        "BIGBIRD_WARM_UP_SECONDS": "0",
    }
    with running_server(measured, environment) as running:
        yield running


def told(server: RunningServer) -> set[tuple[str, str]]:
    """Return what runs the models, and what that computes in."""
    models: list[dict[str, Any]] = httpx.get(f"{server.url}/v1/models").raise_for_status().json()["models"]
    assert len(models) == len(TASKS)
    return {(model["runtime"], model["computes_in"]) for model in models}


def test_an_answer_over_http_is_the_same_alone_and_in_any_batch(
    in_openvino: RunningServer, precision: CpuPrecision
) -> None:
    assert told(in_openvino) == {("openvino", precision)}
    assert count_different_answers(in_openvino.url, allowed=0.0) == 0


@pytest.mark.parametrize("file", [file for file in REQUESTS if not file.startswith("ner")])
def test_an_example_request_gets_the_right_answer(in_openvino: RunningServer, file: str) -> None:
    body = json.loads((ROOT / "examples" / "requests" / file).read_text("utf-8"))
    task = file.partition("-")[0]
    answer = httpx.post(f"{in_openvino.url}/{task}", json=body, timeout=300).raise_for_status().json()
    assert answer["answer" if task == "qa" else "label"] == REQUESTS[file]


def test_a_server_takes_bfloat16_by_itself_where_the_processor_has_units_for_it(measured: Path) -> None:
    with running_server(measured, {"BIGBIRD_WARM_UP_SECONDS": "0"}) as server:
        assert told(server) == {("openvino", "bf16") if computes_bfloat16() else ("onnxruntime", "fp32")}


def ended_runs(server: RunningServer) -> float:
    """Return how many runs were ended because nobody waited for them any more."""
    lines = httpx.get(f"{server.url}/metrics").text.splitlines()
    return sum(float(line.split()[-1]) for line in lines if line.startswith("bigbird_terminated_runs_total{"))


def test_answers_are_right_after_a_run_that_was_ended(in_openvino: RunningServer) -> None:
    body = json.loads((ROOT / "examples" / "requests" / "qa-inspection.json").read_text("utf-8"))
    url = f"{in_openvino.url}/qa"
    alone = httpx.post(url, json=body, timeout=300).raise_for_status().json()["alternatives"]
    context = (body["context"] * 12)[:190_000]
    long = {"question": body["question"], "context": [context] * 8}
    # How soon its runs begin depends on the machine.
    for seconds in (0.5, 1, 2, 4, 8):
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(url, json=long, timeout=seconds)
        found = httpx.post(url, json=body, timeout=300).raise_for_status().json()
        assert found["alternatives"] == alone
        if ended_runs(in_openvino):
            break
    assert ended_runs(in_openvino)
