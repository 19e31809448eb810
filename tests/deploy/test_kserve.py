"""The manifests for KServe: the pod that comes of them is that of `base/`, with one bundle under the service's name."""

from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from bigbird_inference.manifest import FORMAT_VERSION
from service.process.server import _SENDING_SECONDS
from service.settings import ENVIRONMENT_PREFIX, Settings
from tests.deploy.kserve_pod import MODEL_FOLDER, predictor_pod
from tests.deploy.test_kubernetes import KUBERNETES_VERSIONS, ROOT, rendered, server, settings, the

# What KServe sets where a service says nothing else, and cannot be told there.
_PROGRESS_DEADLINE_SECONDS = 600


@pytest.fixture
def pod() -> dict[str, Any]:
    return predictor_pod(rendered("kserve"))


@pytest.fixture
def container(pod: dict[str, Any]) -> dict[str, Any]:
    (found,) = pod["containers"]
    return found


def predictor() -> dict[str, Any]:
    found: dict[str, Any] = the("InferenceService", "kserve")["spec"]["predictor"]
    return found


def settings_of(container: dict[str, Any]) -> Settings:
    """Return the settings that the server reads; a name or a value that it refuses fails here."""
    return Settings(**{one["name"].removeprefix(ENVIRONMENT_PREFIX).lower(): one["value"] for one in container["env"]})


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_the_pod_is_valid(pod: dict[str, Any], version: str) -> None:
    resource = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "demo-qa"}, "spec": pod}
    assert kubernetes_validate.validate(resource, version, strict=True).startswith(version)


def test_one_bundle_is_served_under_the_name_of_the_service(container: dict[str, Any]) -> None:
    own = settings_of(container)
    assert own.models == Path(MODEL_FOLDER)
    assert own.model_name == the("InferenceService", "kserve")["metadata"]["name"]


def test_all_other_settings_are_those_of_the_servers_on_cpus(container: dict[str, Any]) -> None:
    different = {"models", "model_name"}
    assert settings_of(container).model_dump(exclude=different) == settings("overlays/cpu").model_dump(
        exclude=different
    )


def test_the_bundle_is_one_that_the_job_makes(container: dict[str, Any], pod: dict[str, Any]) -> None:
    (mount,) = [mount for mount in container["volumeMounts"] if mount["mountPath"] == MODEL_FOLDER]
    (volume,) = [volume for volume in pod["volumes"] if volume["name"] == mount["name"]]
    assert volume["persistentVolumeClaim"]["claimName"] == the("PersistentVolumeClaim", "models")["metadata"]["name"]
    bundle = Path("/models") / mount["subPath"]
    assert bundle.parent == Path(the("ConfigMap", "models")["data"]["BUNDLE_FOLDER"])
    assert (ROOT / "examples" / "checkpoints" / bundle.name).is_dir()


def test_the_runtime_takes_the_service() -> None:
    runtime, model = the("ServingRuntime", "kserve"), predictor()["model"]
    (supported,) = runtime["spec"]["supportedModelFormats"]
    assert model["runtime"] == runtime["metadata"]["name"]
    assert model["modelFormat"]["name"] == supported["name"]
    assert model["protocolVersion"] in runtime["spec"]["protocolVersions"]
    assert supported["version"] == str(FORMAT_VERSION)


def test_probes_image_resources_and_rights_are_those_of_the_servers_on_cpus(container: dict[str, Any]) -> None:
    same = ("image", "imagePullPolicy", "resources", "securityContext", "terminationMessagePolicy")
    other = server("overlays/cpu")
    assert {name: container[name] for name in same} == {name: other[name] for name in same}
    (port,) = container["ports"]
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        (own, theirs) = ({**probe[name], "failureThreshold": 0} for probe in (container, other))
        assert own == {**theirs, "httpGet": {**theirs["httpGet"], "port": port["containerPort"]}}
        assert container[name]["failureThreshold"] <= other[name]["failureThreshold"]


def test_knative_would_take_the_port_too(container: dict[str, Any]) -> None:
    (port,) = container["ports"]
    assert (port["name"], port["containerPort"]) == ("http1", settings_of(container).port)


def test_times_hang_together(pod: dict[str, Any], container: dict[str, Any]) -> None:
    own = settings_of(container)
    assert pod["terminationGracePeriodSeconds"] > own.drain_delay_seconds + own.drain_timeout_seconds + _SENDING_SECONDS
    assert predictor()["timeout"] > own.timeout_ms / 1000
    startup = container["startupProbe"]
    assert startup["failureThreshold"] * startup["periodSeconds"] < _PROGRESS_DEADLINE_SECONDS
    deployment = the("Deployment", "overlays/cpu")["spec"]
    assert predictor()["deploymentStrategy"] == deployment["strategy"]


def test_prometheus_finds_the_pods_and_no_other_service_does(container: dict[str, Any]) -> None:
    runtime = the("ServingRuntime", "kserve")["spec"]
    port = str(container["ports"][0]["containerPort"])
    for prefix in ("prometheus.io", "prometheus.kserve.io"):
        assert [runtime["annotations"][f"{prefix}/{name}"] for name in ("port", "path")] == [port, "/metrics"]
    selector = the("Service", "overlays/cpu")["spec"]["selector"]
    assert selector.items() - runtime["labels"].items()
