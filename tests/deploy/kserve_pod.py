"""The pod that KServe makes of a ServingRuntime and an InferenceService, as far as deploy/kubernetes/kserve goes.

The runtime's container with the service's name for `{{.Name}}`, the volume of a `pvc://` address at /mnt/models, and
from the service whatever of its predictor belongs to a pod.
"""

import json
from collections.abc import Iterable
from typing import Any

from tests.deploy.kustomize import Resource

MODEL_FOLDER = "/mnt/models"
# What a predictor has beside the fields of a pod.
_OF_PREDICTORS = {"deploymentStrategy", "maxReplicas", "minReplicas", "model", "scaleMetric", "scaleTarget", "timeout"}
_VOLUME = "kserve-pvc-source"


def predictor_pod(resources: Iterable[Resource]) -> dict[str, Any]:
    """Return the specification of a service's pod.

    Args:
        resources: The runtime and the service, and nothing else.
    """
    by_kind = {resource["kind"]: resource for resource in resources}
    runtime, service = by_kind["ServingRuntime"], by_kind["InferenceService"]
    predictor = service["spec"]["predictor"]
    (written,) = runtime["spec"]["containers"]
    container = json.loads(json.dumps(written).replace("{{.Name}}", service["metadata"]["name"]))
    scheme, _, address = predictor["model"]["storageUri"].partition("://")
    assert scheme == "pvc"
    claim, _, folder = address.partition("/")
    mount = {"name": _VOLUME, "mountPath": MODEL_FOLDER, "subPath": folder, "readOnly": True}
    container["volumeMounts"] = [*container["volumeMounts"], mount]
    volume = {"name": _VOLUME, "persistentVolumeClaim": {"claimName": claim, "readOnly": True}}
    of_pod = {name: value for name, value in predictor.items() if name not in _OF_PREDICTORS}
    return {**of_pod, "containers": [container], "volumes": [*runtime["spec"]["volumes"], volume]}
