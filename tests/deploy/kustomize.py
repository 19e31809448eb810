"""`kubectl kustomize`, as much of it as deploy/kubernetes uses: kustomize cannot be installed where the tests run.

    resources -> components -> ConfigMaps from files -> patches -> namespace -> images -> names with hashes

What it does not know it refuses, so that a kustomization cannot quietly mean less here than on a cluster.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

Resource = dict[str, Any]

_KINDS = {"kustomize.config.k8s.io/v1beta1": "Kustomization", "kustomize.config.k8s.io/v1alpha1": "Component"}
_FIELDS = {
    "apiVersion",
    "kind",
    "components",
    "configMapGenerator",
    "images",
    "namespace",
    "patches",
    "resources",
}
# Lists whose elements a strategic merge joins by this key; every other list is replaced, as on a cluster by default.
_MERGE_KEYS = {"containers": "name", "initContainers": "name", "volumes": "name"}
_CONTAINERS = ("containers", "initContainers")


class UnknownField(ValueError):
    """A kustomization asks for something that is not implemented here."""


@dataclass
class _Build:
    """Resources so far, and which ConfigMaps among them get a hash."""

    resources: list[Resource] = field(default_factory=list)
    generated: set[str] = field(default_factory=set)

    def named(self, kind: str, name: str) -> list[Resource]:
        return [one for one in self.resources if (one["kind"], one["metadata"]["name"]) == (kind, name)]

    def one(self, kind: str, name: str) -> Resource:
        found = self.named(kind, name)
        if len(found) != 1:
            raise ValueError(f"{len(found)} resources are a {kind} named {name}")
        return found[0]


def render(folder: Path) -> list[Resource]:
    """Return the resources of a kustomization, as they would be applied.

    Raises:
        UnknownField: It uses something that is not implemented here.
        ValueError: It does not fit together.
    """
    build = _Build()
    _accumulate(folder, build, "Kustomization")
    names = {name: f"{name}-{_hash(build.one('ConfigMap', name))}" for name in build.generated}
    for resource in build.resources:
        _rename_config_maps(resource, names)
    identities = [(one["kind"], one["metadata"]["name"]) for one in build.resources]
    if len(set(identities)) < len(identities):
        raise ValueError(f"resources are there twice: {sorted(identities)}")
    return build.resources


def pod_specs(resource: Resource) -> list[dict[str, Any]]:
    """Return the specifications of pods that a resource makes."""
    template = resource.get("spec", {}).get("template", {}) if resource["kind"] in ("Deployment", "Job") else {}
    return [template["spec"]] if template else []


def _accumulate(folder: Path, build: _Build, kind: str) -> None:
    settings = _read_kustomization(folder, kind)
    # A kustomization's own transformations reach what it brought, a component's everything that is there.
    own = _Build() if kind == "Kustomization" else build
    for entry in settings.get("resources", ()):
        path = folder / entry
        if path.is_dir():
            _accumulate(path, own, "Kustomization")
        else:
            own.resources += _documents(path)
    for entry in settings.get("components", ()):
        _accumulate(folder / entry, own, "Component")
    for generator in settings.get("configMapGenerator", ()):
        _generate(folder, generator, own)
    for patch in settings.get("patches", ()):
        _patch(folder, patch, own)
    if "namespace" in settings:
        for resource in own.resources:
            resource["metadata"]["namespace"] = settings["namespace"]
    for image in settings.get("images", ()):
        _name_images(own.resources, image)
    if own is not build:
        build.resources += own.resources
        build.generated |= own.generated


def _read_kustomization(folder: Path, kind: str) -> dict[str, Any]:
    (settings,) = _documents(folder / "kustomization.yaml")
    if _KINDS.get(settings["apiVersion"]) != settings["kind"] or settings["kind"] != kind:
        raise ValueError(f"{folder}: {settings['apiVersion']} {settings['kind']}, not {kind}")
    _known(settings, _FIELDS)
    return settings


def _documents(path: Path) -> list[Resource]:
    return [document for document in yaml.safe_load_all(path.read_text(encoding="utf-8")) if document]


def _known(mapping: Mapping[str, Any], fields: Iterable[str]) -> None:
    if unknown := set(mapping) - set(fields):
        raise UnknownField(", ".join(sorted(unknown)))


def _generate(folder: Path, generator: Mapping[str, Any], build: _Build) -> None:
    _known(generator, ("name", "behavior", "envs", "literals"))
    pairs = list(generator.get("literals", ()))
    for file in generator.get("envs", ()):
        lines = [line.strip() for line in (folder / file).read_text(encoding="utf-8").splitlines()]
        pairs += [line for line in lines if line and not line.startswith("#")]
    data = dict(pair.split("=", 1) for pair in pairs)
    name = generator["name"]
    match generator.get("behavior", "create"):
        case "create":
            build.resources.append({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data})
            build.generated.add(name)
        case "merge":
            build.one("ConfigMap", name)["data"].update(data)
        case behavior:
            raise UnknownField(behavior)


def _patch(folder: Path, patch: Mapping[str, Any], build: _Build) -> None:
    _known(patch, ("path", "patch", "target"))
    text = (folder / patch["path"]).read_text(encoding="utf-8") if "path" in patch else patch["patch"]
    content = yaml.safe_load(text)
    target = patch.get("target") or {"kind": content["kind"], "name": content["metadata"]["name"]}
    _known(target, ("kind", "name"))
    resource = build.one(target["kind"], target["name"])
    if isinstance(content, list):
        for operation in content:
            _operate(resource, operation)
    else:
        _merge(resource, content)


def _operate(resource: Any, operation: Mapping[str, Any]) -> None:
    """Do what one line of a JSON patch says: remove a field, or add to the end of a list."""
    *parents, last = operation["path"].removeprefix("/").split("/")
    for parent in parents:
        resource = resource[int(parent)] if isinstance(resource, list) else resource[parent]
    match operation["op"]:
        case "remove":
            del resource[last]
        case "add" if last == "-":
            resource.append(deepcopy(operation["value"]))
        case other:
            raise UnknownField(other)


def _merge(base: dict[str, Any], change: Mapping[str, Any]) -> None:
    for key, value in change.items():
        if key.startswith("$"):
            raise UnknownField(key)
        if isinstance(value, dict) and isinstance(base.get(key), dict):
            _merge(base[key], value)
        elif key in _MERGE_KEYS and key in base:
            _merge_lists(base[key], value, _MERGE_KEYS[key])
        else:
            base[key] = deepcopy(value)


def _merge_lists(base: list[Resource], change: list[Resource], key: str) -> None:
    there = {element[key]: element for element in base}
    for element in change:
        if element[key] in there:
            _merge(there[element[key]], element)
        else:
            base.append(deepcopy(element))


def _name_images(resources: Iterable[Resource], image: Mapping[str, str]) -> None:
    _known(image, ("name", "newName", "newTag"))
    for resource in resources:
        for container in _containers(resource):
            name, _, tag = container["image"].partition(":")
            if name == image["name"]:
                tag = image.get("newTag", tag)
                container["image"] = f"{image.get('newName', name)}{':' if tag else ''}{tag}"


def _containers(resource: Resource) -> list[Resource]:
    # A runtime of KServe has its containers where a pod has them.
    specs = [resource["spec"]] if resource["kind"] == "ServingRuntime" else pod_specs(resource)
    return [container for spec in specs for key in _CONTAINERS for container in spec.get(key, ())]


def _hash(config_map: Resource) -> str:
    """Return a hash of the data; kustomize's own is another one."""
    return hashlib.sha256(json.dumps(config_map["data"], sort_keys=True).encode()).hexdigest()[:10]


def _rename_config_maps(resource: Resource, names: Mapping[str, str]) -> None:
    if resource["kind"] == "ConfigMap":
        resource["metadata"]["name"] = names.get(resource["metadata"]["name"], resource["metadata"]["name"])
    for container in _containers(resource):
        for source in container.get("envFrom", ()):
            reference = source["configMapRef"]
            reference["name"] = names.get(reference["name"], reference["name"])
