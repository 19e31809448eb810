"""Reads resources, a JSON list on standard input, as KServe's own models, and tells of each whether it is one.

Prints a line for each: its kind, or its first field that is unknown or of another type.
"""

import json
import re
import sys
from typing import Any

import kserve
import kubernetes.client

KINDS = {
    "serving.kserve.io/v1alpha1 ServingRuntime": "V1alpha1ServingRuntime",
    "serving.kserve.io/v1beta1 InferenceService": "V1beta1InferenceService",
}
PLAIN = {"str": str, "int": int, "bool": bool}


def read(value: Any, kind: str, place: str) -> Any:
    """Return a value as KServe's models call its kind: `list[V1Container]`, `dict(str, str)`, a model, a plain type."""
    if kind in PLAIN:
        assert type(value) is PLAIN[kind], f"{place} is not a {kind}"
        return value
    if found := re.fullmatch(r"list\[(.+)\]", kind):
        return [read(part, found[1], f"{place}[{index}]") for index, part in enumerate(value)]
    if found := re.fullmatch(r"dict\(str, (.+)\)", kind):
        return {name: read(part, found[1], f"{place}.{name}") for name, part in value.items()}
    model = getattr(kserve, kind, None)
    if model is None:
        return of_kubernetes(value, kind, place)
    attributes = {name: attribute for attribute, name in model.attribute_map.items()}
    assert value.keys() <= attributes.keys(), f"{place} has no {min(value.keys() - attributes.keys())}"
    types = model.openapi_types
    return model(
        **{attributes[name]: read(part, types[attributes[name]], f"{place}.{name}") for name, part in value.items()}
    )


def of_kubernetes(value: Any, kind: str, place: str) -> Any:
    """Return a value as a model of Kubernetes' client, which leaves out what it does not know."""
    # Some names come with the package that the type is from.
    model = getattr(kubernetes.client, re.sub("^K8sIoApi[A-Z][a-z]+(?=V1)", "", kind))
    made = model.from_dict(value)
    assert not (gone := lost(value, json.loads(made.to_json()), place)), f"{gone[0]} is unknown"
    return made


def lost(before: Any, after: Any, place: str) -> list[str]:
    """Return the places of what is not the same any more."""
    if isinstance(before, dict) and isinstance(after, dict):
        return [part for name in before for part in lost(before[name], after.get(name), f"{place}.{name}")]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        pairs = enumerate(zip(before, after, strict=True))
        return [part for index, pair in pairs for part in lost(*pair, f"{place}[{index}]")]
    return [] if before == after else [place]


for resource in json.load(sys.stdin):
    try:
        read(resource, KINDS[f"{resource['apiVersion']} {resource['kind']}"], resource["kind"])
        print(resource["kind"])
    except AssertionError as error:
        print(error)
