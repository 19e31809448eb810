"""The clients of the Open Inference Protocol, Triton's and KServe's, against the real server; KServe's manifests."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.kustomize import render

pytestmark = pytest.mark.integration

HERE = Path(__file__).parent
KUBERNETES = HERE.parents[1] / "deploy" / "kubernetes"


@pytest.fixture(scope="module")
def python(other_environment: Path) -> Path:
    return other_environment / "python"


def lines_of(*command: str | Path, text: str = "") -> list[str]:
    done = subprocess.run(command, input=text, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize("client", ["triton", "kserve"])
def test_answers_are_the_native_ones_and_errors_are_told(python: Path, server: str, client: str) -> None:
    told = lines_of(python, HERE / f"ask_{client}.py", server)
    assert told == ["described", "JSON", "binary", "everything", "errors"]


def misspelt(resource: Any, old: str, new: str) -> Any:
    written = json.dumps(resource)
    assert written.count(old) == 1
    return json.loads(written.replace(old, new))


def test_kserve_itself_reads_its_manifests_and_knows_every_field(python: Path) -> None:
    runtime, service = render(KUBERNETES / "kserve")
    wrong = [
        misspelt(runtime, "startupProbe", "startProbe"),
        misspelt(runtime, '"multiModel": false', '"multiModel": "no"'),
        misspelt(service, "storageUri", "storageURI"),
        misspelt(service, "runAsNonRoot", "runAsNonroot"),
    ]
    told = lines_of(python, HERE / "read_kserve_resources.py", text=json.dumps([runtime, service, *wrong]))
    assert told == [
        "ServingRuntime",
        "InferenceService",
        "ServingRuntime.spec.containers[0].startProbe is unknown",
        "ServingRuntime.spec.multiModel is not a bool",
        "InferenceService.spec.predictor.model has no storageURI",
        "InferenceService.spec.predictor.securityContext.runAsNonroot is unknown",
    ]
