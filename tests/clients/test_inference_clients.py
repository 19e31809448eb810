"""The clients of the Open Inference Protocol, Triton's and KServe's, against the real server; KServe's manifests."""

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.clients.environment import make_environment
from tests.deploy.kustomize import render
from tests.fake_server import fake_server

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
KUBERNETES = HERE.parents[1] / "deploy" / "kubernetes"


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_environment(tmp_path_factory.mktemp("clients"), "tritonclient[http]==2.73.0", "kserve==0.21.0")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    with fake_server() as url:
        yield url


def run(*command: str | Path, text: str = "") -> list[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


@pytest.mark.parametrize("client", ["triton", "kserve"])
def test_answers_are_the_native_ones_and_errors_are_told(python: Path, server: str, client: str) -> None:
    told = run(python, HERE / f"ask_{client}.py", server)
    assert told == ["described", "JSON", "binary", "everything", "errors"]


def test_kserve_itself_reads_its_manifests_and_knows_every_field(python: Path) -> None:
    resources = render(KUBERNETES / "kserve")
    told = run(python, HERE / "read_kserve_resources.py", text=json.dumps(resources))
    assert told == ["InferenceService", "ServingRuntime"]
    resources[-1]["spec"]["predictor"]["model"]["storageURI"] = "pvc://bigbird-models"
    with pytest.raises(AssertionError, match="storageURI"):
        run(python, HERE / "read_kserve_resources.py", text=json.dumps(resources))
