"""The machines of a cluster: what they offer, and whether each can do the job, before it begins."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bigbird_inference.bundle import manifest_revision
from bigbird_inference.errors import BundleError
from bigbird_inference.version import service_version
from bulk.cluster.quiet_ray import ray
from bulk.errors import JobError
from bulk.remote_bundle import local_bundle

NODE_LABEL = "ray.io/node-id"
_LOOK_SECONDS = 120


@dataclass(frozen=True, slots=True)
class Actors:
    """How many workers a job has, and what each takes of its machine.

    Attributes:
        count: As many as find room.
        gpus: One, or none.
        cpus: Of those without a GPU.
        device: As a bundle is loaded with it.
    """

    count: int
    gpus: int
    cpus: int
    device: str


def check_nodes(bundle: str, revision: str) -> None:
    """Ask every machine for its version and its bundle.

    Args:
        bundle: Its name, which is the same on all of them.
        revision: As this machine has it.

    Raises:
        JobError: One does not answer, or has another version or bundle than this machine.
    """
    look = ray.remote(num_cpus=0, max_retries=0)(report)
    answers = {
        _address(node): look.options(label_selector={NODE_LABEL: node["NodeID"]}).remote(bundle) for node in _alive()
    }
    for address, answer in answers.items():
        try:
            version, found = ray.get(answer, timeout=_LOOK_SECONDS)
        except Exception as error:  # Ray's own share no base
            raise JobError(f"node {address}: {_reason(error)}") from error
        if version != service_version():
            raise JobError(
                f"node {address}: bigbird-serve {version} is installed there, and {service_version()} here; install "
                "the same on all machines"
            )
        if found != revision:
            raise JobError(f"node {address}: {_unlike(bundle, found)}; copy the same bundle to all machines")


def report(bundle: str) -> tuple[str, str]:
    """Return the package's version and the bundle's revision on the machine that runs this, or why there is none.

    In types that every version can read: a machine may have another.
    """
    try:
        return service_version(), manifest_revision(local_bundle(bundle))
    except (BundleError, JobError) as error:
        return service_version(), str(error)


def _unlike(bundle: str, found: str) -> str:
    return f"{bundle} is another bundle there" if re.fullmatch("[0-9a-f]+", found) else found


def actors_of(device: str, threads: int) -> Actors:
    """Return the workers that a cluster has room for: one for each GPU, or else one for each machine's CPU.

    Args:
        device: `auto`, `cpu` or `cuda`.
        threads: CPUs of a worker without a GPU; 0 for all of the machine that has the fewest.

    Raises:
        JobError: There is no such device.
    """
    gpus: int = sum(int(node["Resources"].get("GPU", 0)) for node in _alive())
    cpus = [own for node in _alive() if (own := int(node["Resources"].get("CPU", 0)))]
    if device == "cuda" and not gpus:
        raise JobError("--device cuda: no machine of the cluster offers a GPU; take --device cpu")
    if device != "cpu" and gpus:
        return Actors(gpus, 1, 0, "cuda")
    each = threads or min(cpus, default=0)
    count = sum(own // each for own in cpus) if each else 0
    if not count:
        raise JobError(
            f"no machine of the cluster offers {each or 'any'} CPUs; it has {', '.join(map(str, cpus)) or 'none'}: "
            "give fewer --threads"
        )
    return Actors(count, 0, each, "cpu")


def _alive() -> Sequence[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _address(node: dict[str, Any]) -> str:
    return f"{node['NodeManagerAddress']} ({node['NodeID'][:8]})"


def _reason(error: Exception) -> str:
    text = str(error)
    if "No module named" in text:
        return "bigbird-serve is not installed there; install the same version on all machines"
    return f"does not answer: {' '.join(text.split()):.200}; see `ray status`"
