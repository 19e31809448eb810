"""The Kubernetes manifests: valid for the oldest and the newest version, and what hangs together fits together."""

import copy
import json
import os
import re
import subprocess
import tomllib
from functools import cache
from pathlib import Path
from typing import Any

import click
import jsonschema
import kubernetes_validate
import pytest
import yaml

from bigbird_cli.main import main
from bulk.sources.inputs import Shard
from service.models.served_models import ENDPOINTS
from service.process.server import _SENDING_SECONDS
from service.settings import ENVIRONMENT_PREFIX, Settings
from tests.deploy.kserve_pod import predictor_pod
from tests.deploy.kustomize import Resource, UnknownField, pod_specs, render

ROOT = Path(__file__).resolve().parents[2]
KUBERNETES = ROOT / "deploy" / "kubernetes"
RULES = ROOT / "deploy" / "prometheus" / "rules"
SCHEMAS = Path(__file__).parent / "custom_resources"

# The oldest that docs/kubernetes.md names, and the newest that the validator knows.
KUBERNETES_VERSIONS = ("1.30", "1.37")
OVERLAYS = ("overlays/cpu", "overlays/gpu")
KUSTOMIZATIONS = (*OVERLAYS, "models", "batch", "kserve")
USER = 10001


@cache
def _rendered(kustomization: str) -> list[Resource]:
    return render(KUBERNETES / kustomization)


def rendered(kustomization: str) -> list[Resource]:
    return copy.deepcopy(_rendered(kustomization))


def the(kind: str, kustomization: str = "overlays/cpu") -> Resource:
    (found,) = [resource for resource in rendered(kustomization) if resource["kind"] == kind]
    return found


def server(kustomization: str = "overlays/cpu") -> dict[str, Any]:
    (container,) = the("Deployment", kustomization)["spec"]["template"]["spec"]["containers"]
    return container


def settings(kustomization: str = "overlays/cpu") -> Settings:
    """Return the settings that the servers read; a name or a value that they refuse fails here."""
    values = the("ConfigMap", kustomization)["data"]
    assert all(name.startswith(ENVIRONMENT_PREFIX) for name in values)
    return Settings(**{name.removeprefix(ENVIRONMENT_PREFIX).lower(): value for name, value in values.items()})


def container_cases() -> list[Any]:
    pods = [(name, spec) for name in KUSTOMIZATIONS for one in _rendered(name) for spec in pod_specs(one)]
    return [
        pytest.param(spec, container, id=f"{container['name']} of {kustomization}")
        for kustomization, spec in (*pods, ("kserve", predictor_pod(rendered("kserve"))))
        for container in (*spec.get("initContainers", ()), *spec["containers"])
    ]


# Validity.


def schema_errors(resource: Resource) -> list[str]:
    schema = json.loads((SCHEMAS / f"{resource['kind']}.schema.json").read_text(encoding="utf-8"))
    return [error.message for error in jsonschema.Draft202012Validator(schema).iter_errors(resource)]


def is_custom(resource: Resource) -> bool:
    return str(resource["apiVersion"]).startswith(("monitoring.coreos.com/", "serving.kserve.io/"))


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS)
def test_the_manifests_are_valid(kustomization: str, version: str) -> None:
    for resource in rendered(kustomization):
        if not is_custom(resource):
            assert kubernetes_validate.validate(resource, version, strict=True).startswith(version)


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_the_namespace_is_valid(version: str) -> None:
    namespace = yaml.safe_load((KUBERNETES / "namespace.yaml").read_text(encoding="utf-8"))
    kubernetes_validate.validate(namespace, version, strict=True)
    assert {resource["metadata"]["namespace"] for name in KUSTOMIZATIONS for resource in rendered(name)} == {
        namespace["metadata"]["name"]
    }


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_a_misspelt_field_is_not_valid(version: str) -> None:
    deployment = the("Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readOnlyRootFileSystem"] = True
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(deployment, version, strict=True)


def test_the_custom_resources_follow_their_schemas() -> None:
    custom = [resource for name in ("overlays/gpu", "kserve") for resource in rendered(name) if is_custom(resource)]
    kinds = {"PrometheusRule", "ServiceMonitor", "ServingRuntime", "InferenceService"}
    assert {resource["kind"] for resource in custom} == kinds
    assert not [error for resource in custom for error in schema_errors(resource)]


@pytest.mark.parametrize(
    ("kind", "path", "value"),
    [
        pytest.param("ServiceMonitor", ["spec", "endpoints", 0, "timeout"], "10s", id="a field that does not exist"),
        pytest.param("ServiceMonitor", ["spec", "endpoints", 0, "interval"], "15 s", id="a duration with a space"),
        pytest.param("ServiceMonitor", ["spec", "selector"], {}, id="a selector that selects everything"),
        pytest.param("PrometheusRule", ["spec", "groups", 0, "rules", 0, "labels"], {"page": True}, id="a label true"),
        pytest.param("PrometheusRule", ["spec", "groups", 0, "rules", 0, "fro"], "5m", id="a misspelt field"),
        pytest.param("ServingRuntime", ["spec", "protocolVersions"], ["v3"], id="a protocol that nobody speaks"),
        pytest.param("ServingRuntime", ["spec", "containers", 0, "name"], "server", id="a container KServe ignores"),
        pytest.param("InferenceService", ["spec", "predictor", "replicas"], 2, id="a field of a Deployment"),
        pytest.param("InferenceService", ["metadata", "name"], "2-contracts", id="a name that is none of a Service"),
        pytest.param(
            "InferenceService", ["spec", "predictor", "model", "storageUri"], "/models/qa", id="a path for an address"
        ),
    ],
)
def test_a_wrong_custom_resource_breaks_its_schema(kind: str, path: list[Any], value: Any) -> None:
    resource: Any = the(kind, "kserve" if kind in ("ServingRuntime", "InferenceService") else "overlays/cpu")
    *parents, last = path
    inner = resource
    for part in parents:
        inner = inner[part]
    inner[last] = value
    assert schema_errors(resource)


def test_what_the_renderer_does_not_know_it_refuses(tmp_path: Path) -> None:
    head = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\n"
    (tmp_path / "kustomization.yaml").write_text(head + "replacements: []\n")
    with pytest.raises(UnknownField, match="replacements"):
        render(tmp_path)


def test_every_file_is_part_of_something_that_is_rendered() -> None:
    used = {KUBERNETES / "namespace.yaml", KUBERNETES / "components" / "autoscaling" / "prometheus-adapter.yaml"}
    for path in KUBERNETES.rglob("kustomization.yaml"):
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
        names = [*content.get("resources", ()), *(patch.get("path", "") for patch in content.get("patches", ()))]
        names += [name for generator in content.get("configMapGenerator", ()) for name in generator.get("envs", ())]
        used |= {path, *(path.parent / name for name in names)}
    assert not {path for path in KUBERNETES.rglob("*") if path.is_file()} - used


# What the pods may do.


@pytest.mark.parametrize(("spec", "container"), container_cases())
def test_every_container_keeps_to_the_restricted_standard(spec: dict[str, Any], container: dict[str, Any]) -> None:
    """The profile `restricted` of the Pod Security Standards, and a read-only root file system on top of it."""
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    pod = spec["securityContext"]
    assert pod["runAsNonRoot"] is True
    assert pod["runAsUser"] == pod["runAsGroup"] == USER
    assert pod["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & set(spec)
    assert all(set(volume) <= {"name", "persistentVolumeClaim", "emptyDir"} for volume in spec["volumes"])
    assert all("hostPort" not in port for port in container.get("ports", ()))


@pytest.mark.parametrize(("spec", "container"), container_cases())
def test_no_container_gets_a_token_or_the_environment_of_services(
    spec: dict[str, Any], container: dict[str, Any]
) -> None:
    assert spec["automountServiceAccountToken"] is False
    # The Service `bigbird` would become BIGBIRD_PORT=tcp://..., which is not a port.
    assert spec["enableServiceLinks"] is False


@pytest.mark.parametrize(("spec", "container"), container_cases())
def test_every_container_asks_for_what_it_may_use(spec: dict[str, Any], container: dict[str, Any]) -> None:
    resources = container["resources"]
    assert resources["requests"]["cpu"] == resources["limits"]["cpu"]
    # Threads follow the quota: half a core too many is stopped for half of the time.
    assert int(resources["limits"]["cpu"]) >= 1
    assert all(volume["emptyDir"].get("sizeLimit") for volume in spec["volumes"] if "emptyDir" in volume)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_servers_cannot_change_the_models(overlay: str) -> None:
    (mount,) = [mount for mount in server(overlay)["volumeMounts"] if mount["name"] == "models"]
    assert mount["readOnly"] is True
    models = settings(overlay).models
    assert models.is_relative_to(mount["mountPath"])
    assert models != Path(mount["mountPath"]), "a release has a folder of its own"


def test_the_network_lets_in_who_is_named_and_lets_nothing_out() -> None:
    policy = the("NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert policy["egress"] == []
    (rule,) = policy["ingress"]
    assert rule["from"] and {"podSelector": {}, "namespaceSelector": {}} not in rule["from"]
    assert [port["port"] for port in rule["ports"]] == [server()["ports"][0]["name"]]


def with_component(folder: Path, name: str) -> list[Resource]:
    """The overlay for CPUs with a component that nobody gets unasked."""
    lines = ["apiVersion: kustomize.config.k8s.io/v1beta1", "kind: Kustomization", "namespace: bigbird"]
    lines += ["resources:", f"  - {KUBERNETES / 'overlays' / 'cpu'}", "components:"]
    lines += [f"  - {KUBERNETES / 'components' / name}"]
    (folder / "kustomization.yaml").write_text("\n".join(lines), encoding="utf-8")
    return render(folder)


@pytest.fixture
def with_keys(tmp_path: Path) -> list[Resource]:
    return with_component(tmp_path, "keys")


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_keys_come_from_a_secret_that_only_the_server_reads(with_keys: list[Resource], version: str) -> None:
    (deployment,) = [resource for resource in with_keys if resource["kind"] == "Deployment"]
    kubernetes_validate.validate(deployment, version, strict=True)
    (config_map,) = [resource for resource in with_keys if resource["kind"] == "ConfigMap"]
    pod = deployment["spec"]["template"]["spec"]
    (volume,) = [volume for volume in pod["volumes"] if "secret" in volume]
    (mount,) = [mount for mount in pod["containers"][0]["volumeMounts"] if mount["name"] == volume["name"]]
    assert volume["secret"] == {"secretName": "bigbird-keys"}
    assert mount["readOnly"] is True
    file = Path(config_map["data"]["BIGBIRD_API_KEYS_FILE"])
    assert file.parent == Path(mount["mountPath"]) and file.name == "api-keys"
    # Everything else is still there, and no key is in a manifest.
    plain = the("Deployment")["spec"]["template"]["spec"]
    assert pod["volumes"][:-1] == plain["volumes"]
    assert "sha256:" not in json.dumps(with_keys)


@pytest.fixture
def with_ingress(tmp_path: Path) -> list[Resource]:
    return with_component(tmp_path, "ingress")


def one(kind: str, resources: list[Resource]) -> Resource:
    (found,) = [resource for resource in resources if resource["kind"] == kind]
    return found


@pytest.mark.parametrize("version", KUBERNETES_VERSIONS)
def test_the_ingress_leads_clients_to_what_they_call_and_to_nothing_else(
    with_ingress: list[Resource], version: str
) -> None:
    ingress = one("Ingress", with_ingress)
    kubernetes_validate.validate(ingress, version, strict=True)
    (rule,) = ingress["spec"]["rules"]
    assert ingress["spec"]["tls"][0]["hosts"] == [rule["host"]]
    paths = rule["http"]["paths"]
    assert {path["path"] for path in paths} == {*ENDPOINTS.values(), "/v1/models"}
    assert {path["pathType"] for path in paths} == {"Exact"}
    service = one("Service", with_ingress)
    (port,) = service["spec"]["ports"]
    backend = {"service": {"name": service["metadata"]["name"], "port": {"name": port["name"]}}}
    assert all(path["backend"] == backend for path in paths)


def test_the_ingress_waits_and_accepts_as_the_servers_do(with_ingress: list[Resource]) -> None:
    annotations = one("Ingress", with_ingress)["metadata"]["annotations"]
    of_servers = settings()
    assert annotations["nginx.org/client-max-body-size"] == f"{of_servers.max_body_bytes // 2**20}m"
    waits = [float(annotations[f"nginx.org/proxy-{way}-timeout"].removesuffix("s")) for way in ("read", "send")]
    assert min(waits) > of_servers.timeout_ms / 1000
    # nginx keeps idle connections to its upstreams for 60 s.
    assert int(one("ConfigMap", with_ingress)["data"]["BIGBIRD_KEEP_ALIVE_SECONDS"]) > 60


# What hangs together.


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_selectors_select_the_servers(overlay: str) -> None:
    labels = the("Deployment", overlay)["spec"]["template"]["metadata"]["labels"]
    selectors = [
        the("Deployment", overlay)["spec"]["selector"]["matchLabels"],
        the("Service", overlay)["spec"]["selector"],
        the("PodDisruptionBudget", overlay)["spec"]["selector"]["matchLabels"],
        the("NetworkPolicy", overlay)["spec"]["podSelector"]["matchLabels"],
        *(
            constraint["labelSelector"]["matchLabels"]
            for constraint in the("Deployment", overlay)["spec"]["template"]["spec"]["topologySpreadConstraints"]
        ),
    ]
    assert all(selector == labels for selector in selectors)
    for job in (the("Job", "models"), the("Job", "batch")):
        own = job["spec"]["template"]["metadata"]["labels"]
        assert labels.items() - own.items(), "a job must not get requests"


def test_prometheus_finds_the_service_and_its_port() -> None:
    monitor, service = the("ServiceMonitor")["spec"], the("Service")
    assert monitor["selector"]["matchLabels"].items() <= service["metadata"]["labels"].items()
    (endpoint,) = monitor["endpoints"]
    (port,) = service["spec"]["ports"]
    assert endpoint["port"] == port["name"]
    assert (port["targetPort"], port["port"]) == (server()["ports"][0]["name"], server()["ports"][0]["containerPort"])
    # The operator makes the Service's name the job, which the alerts ask for.
    assert re.fullmatch("bigbird.*", service["metadata"]["name"])


def test_the_operator_gets_the_same_rules_as_prometheus() -> None:
    files = sorted(RULES.glob("*.yml"))
    groups = [group for path in files for group in yaml.safe_load(path.read_text(encoding="utf-8"))["groups"]]
    assert the("PrometheusRule")["spec"]["groups"] == groups, "run `python -m scripts.write_prometheus_rule`"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_image_is_that_of_this_version_for_this_device(overlay: str) -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    device = overlay.rsplit("/", 1)[1]
    assert server(overlay)["image"] == f"bigbird-serve:{version}-{device}"
    (job,) = pod_specs(the("Job", "models"))
    assert [container["image"] for container in (*job["initContainers"], *job["containers"])] == [
        f"bigbird-serve:{version}-export",
        f"bigbird-serve:{version}-cpu",
    ]


@pytest.mark.parametrize(
    ("overlay", "device", "gpus"),
    [
        pytest.param("overlays/cpu", "cpu", None, id="the CPU overlay takes the CPU"),
        pytest.param("overlays/gpu", "cuda", 1, id="the GPU overlay takes one GPU and does without no GPU"),
    ],
)
def test_the_overlay_chooses_the_device(overlay: str, device: str, gpus: int | None) -> None:
    assert settings(overlay).device == device
    resources = server(overlay)["resources"]
    assert resources["limits"].get("nvidia.com/gpu") == resources["requests"].get("nvidia.com/gpu") == gpus
    pod = the("Deployment", overlay)["spec"]["template"]["spec"]
    assert bool(pod.get("nodeSelector")) == bool(pod.get("tolerations")) == (gpus is not None)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_servers_listen_where_their_probes_ask(overlay: str) -> None:
    assert settings(overlay).host == "0.0.0.0"
    assert settings(overlay).port == server(overlay)["ports"][0]["containerPort"]
    probes = {name: server(overlay)[f"{name}Probe"]["httpGet"] for name in ("startup", "readiness", "liveness")}
    assert probes == {
        "startup": {"path": "/health/ready", "port": "http"},
        "readiness": {"path": "/health/ready", "port": "http"},
        "liveness": {"path": "/health/live", "port": "http"},
    }


def test_a_changed_setting_is_a_new_name_and_so_a_rollout() -> None:
    names = [server(overlay)["envFrom"][0]["configMapRef"]["name"] for overlay in OVERLAYS]
    assert names == [the("ConfigMap", overlay)["metadata"]["name"] for overlay in OVERLAYS]
    assert len(set(names)) == len(OVERLAYS)


# Times.


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_grace_period_holds_the_delay_the_drain_and_the_last_answers(overlay: str) -> None:
    pod = the("Deployment", overlay)["spec"]["template"]["spec"]
    delay = settings(overlay).drain_delay_seconds
    drain = settings(overlay).drain_timeout_seconds
    spare = pod["terminationGracePeriodSeconds"] - (delay + drain + _SENDING_SECONDS)
    assert (delay, drain, _SENDING_SECONDS, spare) == (10, 120, 5, 15)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_delay_is_not_waited_for_twice(overlay: str) -> None:
    assert "lifecycle" not in server(overlay)


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_drain_is_as_long_as_the_longest_deadline(overlay: str) -> None:
    assert settings(overlay).drain_timeout_seconds == settings(overlay).timeout_ms / 1000


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_delay_before_the_drain_is_longer_than_two_readiness_probes(overlay: str) -> None:
    """Whoever goes by readiness alone has seen the server leave before it refuses anything."""
    probe = server(overlay)["readinessProbe"]
    assert settings(overlay).drain_delay_seconds >= probe["failureThreshold"] * probe["periodSeconds"]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_start_up_has_time_to_load_and_to_warm(overlay: str) -> None:
    probe = server(overlay)["startupProbe"]
    seconds = probe["failureThreshold"] * probe["periodSeconds"]
    # Warm-up may exceed its budget, since every bucket is run in any case; loading comes on top of it.
    assert seconds == 600 >= 10 * settings(overlay).warm_up_seconds
    assert the("Deployment", overlay)["spec"]["progressDeadlineSeconds"] > seconds


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_a_rolling_update_takes_no_server_before_its_successor_is_ready(overlay: str) -> None:
    strategy = the("Deployment", overlay)["spec"]["strategy"]
    assert strategy == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert the("PodDisruptionBudget", overlay)["spec"]["maxUnavailable"] == 1
    assert the("HorizontalPodAutoscaler", overlay)["spec"]["minReplicas"] == 2


# Autoscaling.


def adapter_rules() -> list[dict[str, Any]]:
    path = KUBERNETES / "components" / "autoscaling" / "prometheus-adapter.yaml"
    rules: list[dict[str, Any]] = yaml.safe_load(path.read_text(encoding="utf-8"))["rules"]
    return rules


def test_the_autoscaler_alone_decides_how_many_servers_there_are() -> None:
    autoscaler, deployment = the("HorizontalPodAutoscaler")["spec"], the("Deployment")
    target = autoscaler["scaleTargetRef"]
    assert (target["kind"], target["name"]) == (deployment["kind"], deployment["metadata"]["name"])
    assert "replicas" not in deployment["spec"]


def test_the_autoscaler_asks_for_what_the_adapter_offers() -> None:
    asked = [entry["pods"]["metric"]["name"] for entry in the("HorizontalPodAutoscaler")["spec"]["metrics"]]
    assert asked == [rule["name"]["as"] for rule in adapter_rules()]


def test_the_adapter_reads_series_that_the_server_has() -> None:
    documented = (ROOT / "docs" / "metrics.md").read_text(encoding="utf-8")
    for rule in adapter_rules():
        series = rule["seriesQuery"].partition("{")[0]
        assert re.fullmatch(rule["name"]["matches"], series)
        assert f"`{series}`" in documented
        assert set(rule["resources"]["overrides"]) == {"namespace", "pod"}


# The export job.


def job_containers() -> tuple[dict[str, Any], dict[str, Any]]:
    (spec,) = pod_specs(the("Job", "models"))
    return spec["initContainers"][0], spec["containers"][0]


def test_the_job_asks_for_what_the_export_image_understands() -> None:
    export, _ = job_containers()
    program = (ROOT / "deploy" / "container" / "export_bundles.py").read_text(encoding="utf-8")
    assert export["command"] == ["export-bundles"]
    assert f"/app/bin/{export['command'][0]}\n" in (ROOT / "Dockerfile").read_text(encoding="utf-8")
    described = re.findall(r"^ {4}([A-Z_]+(?:, [A-Z_]+)*)(?:  |$)", program.split('"""')[1], re.MULTILINE)
    understood = {name for names in described for name in names.split(", ")}
    assert set(the("ConfigMap", "models")["data"]) <= understood


def test_the_job_checks_every_bundle_of_its_release_and_ends_with_the_first_that_is_damaged(tmp_path: Path) -> None:
    for bundle in ("may/a", "may/b", "may/c", "april/d"):
        (tmp_path / "models" / bundle).mkdir(parents=True)
    program = tmp_path / "bigbird"
    program.write_text('#!/bin/sh\necho "$@"\ncase "$3" in */b) exit 4;; esac\n')
    program.chmod(0o755)
    release = tmp_path / "models" / "may"
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "BUNDLE_FOLDER": str(release)}
    _, verify = job_containers()
    done = subprocess.run(verify["command"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert done.stdout == f"inspect --check {release}/a\ninspect --check {release}/b\n"


def test_the_servers_read_the_release_that_the_job_makes() -> None:
    assert settings().models == Path(the("ConfigMap", "models")["data"]["BUNDLE_FOLDER"])


# The batch job.


def test_every_shard_of_the_batch_job_has_an_index_and_an_output_of_its_own() -> None:
    job = the("Job", "batch")["spec"]
    assert job["completionMode"] == "Indexed"
    assert job["completions"] == int(the("ConfigMap", "batch")["data"]["SHARDS"])
    version = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]
    (container,) = job["template"]["spec"]["containers"]
    assert container["image"] == f"bigbird-serve:{version}-cpu"


@pytest.mark.parametrize(
    ("ended", "status"),
    [
        pytest.param(0, 0, id="every row has an answer"),
        pytest.param(3, 0, id="rows with an error are not asked again"),
        pytest.param(1, 1, id="a job that has not come to its end goes on"),
    ],
)
def test_the_batch_job_calls_the_command_as_it_is(tmp_path: Path, ended: int, status: int) -> None:
    program = tmp_path / "bigbird"
    program.write_text(f'#!/bin/sh\nfor word; do echo "$word"; done\nexit {ended}\n')
    program.chmod(0o755)
    (container,) = the("Job", "batch")["spec"]["template"]["spec"]["containers"]
    settings_of_job = the("ConfigMap", "batch")["data"]
    environment = {"PATH": f"{tmp_path}:{os.environ['PATH']}", "JOB_COMPLETION_INDEX": "3", **settings_of_job}
    done = subprocess.run(container["command"], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == status
    name, *words = done.stdout.splitlines()
    assert name == "batch"
    with click.Context(main) as context:
        command = main.get_command(context, "batch")
        assert command is not None
        given = command.make_context("batch", [word.replace("/batch/questions.txt", __file__) for word in words])
    assert given.params["shard"] == Shard(3, 4)
    assert given.params["output"] == "/batch/answers-3.jsonl"
